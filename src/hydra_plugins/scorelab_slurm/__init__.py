"""Hydra finds launchers in packages below hydra_plugins; this package hands over to scorelab.lab.slurm."""

from scorelab.lab.slurm import SlurmLauncher


class ScorelabSlurm(SlurmLauncher):
    """The launcher that `hydra/launcher=slurm`, `slurm_gpu` and `slurm_node` select; its keys: conf/hydra/launcher."""
