"""Hydra finds launchers in packages below hydra_plugins; this package hands over to scorelab.lab.stacked."""

from scorelab.lab.hydra_internals import store
from scorelab.lab.stacked import StackedLauncher


class ScorelabLauncher(StackedLauncher):
    """The launcher that `hydra/launcher=stacked` selects."""


node = {"_target_": "hydra_plugins.scorelab_launcher.ScorelabLauncher", "replicas": 32, "n_jobs": 1}
store("hydra/launcher", "stacked", node)
