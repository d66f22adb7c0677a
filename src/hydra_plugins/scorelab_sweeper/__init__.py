"""Hydra finds sweepers in packages below hydra_plugins; this package hands over to scorelab.lab.sweep."""

from hydra.core.config_store import ConfigStore

from scorelab.lab.sweep import Sweeper


class ScorelabSweeper(Sweeper):
    """The sweeper that `hydra/sweeper: scorelab` selects."""


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="scorelab",
    node={"_target_": "hydra_plugins.scorelab_sweeper.ScorelabSweeper", "max_batch_size": None, "params": None},
    provider="scorelab",
)
