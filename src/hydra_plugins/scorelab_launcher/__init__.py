"""Hydra finds launchers in packages below hydra_plugins; this package hands over to scorelab.lab."""

from hydra.core.config_store import ConfigStore

from scorelab.lab.ray_launcher import RayLauncher
from scorelab.lab.stacked import StackedLauncher


class ScorelabLauncher(StackedLauncher):
    """The launcher that `hydra/launcher=stacked` selects."""


class ScorelabRayLauncher(RayLauncher):
    """The launcher that `hydra/launcher=ray` selects."""


for name, node in {
    "stacked": {"_target_": "hydra_plugins.scorelab_launcher.ScorelabLauncher", "replicas": 32, "n_jobs": 1},
    "ray": {
        "_target_": "hydra_plugins.scorelab_launcher.ScorelabRayLauncher",
        **{"n_jobs": None, "cpus": None, "gpus": 0, "address": None},
    },
}.items():
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="scorelab")
