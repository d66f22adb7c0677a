"""Hydra finds launchers in packages below hydra_plugins; this package hands over to scorelab.lab."""

from scorelab.lab.hydra_internals import store
from scorelab.lab.ray_launcher import RayLauncher
from scorelab.lab.stacked import StackedLauncher


class ScorelabLauncher(StackedLauncher):
    """The launcher that `hydra/launcher=stacked` selects."""


class ScorelabRayLauncher(RayLauncher):
    """The launcher that `hydra/launcher=ray` selects."""


_HERE = "hydra_plugins.scorelab_launcher"
store("hydra/launcher", "stacked", {"_target_": f"{_HERE}.ScorelabLauncher", "replicas": 32, "n_jobs": 1})
_OF_RAY = {"n_jobs": None, "cpus": None, "gpus": 0, "address": None}
store("hydra/launcher", "ray", {"_target_": f"{_HERE}.ScorelabRayLauncher", **_OF_RAY})
