"""Hydra finds launchers in packages below hydra_plugins; this package hands over to scorelab.lab.stacked."""

from hydra.core.config_store import ConfigStore

from scorelab.lab.stacked import StackedLauncher


class ScorelabLauncher(StackedLauncher):
    """The launcher that `hydra/launcher=stacked` selects."""


ConfigStore.instance().store(
    group="hydra/launcher",
    name="stacked",
    node={"_target_": "hydra_plugins.scorelab_launcher.ScorelabLauncher", "replicas": 32, "n_jobs": 1},
    provider="scorelab",
)
