"""Hydra finds sweepers in packages below hydra_plugins; this package hands over to scorelab.lab."""

from scorelab.lab.hydra_internals import store
from scorelab.lab.optimise import Optimiser
from scorelab.lab.space import Search
from scorelab.lab.sweep import Sweeper


class ScorelabSweeper(Sweeper):
    """The sweeper that `hydra/sweeper: scorelab` selects."""


class ScorelabOptimiser(Optimiser):
    """The sweeper that `hydra/sweeper=optimise` selects."""


shared = {"max_batch_size": None, "params": None}
search = Search().model_dump() | {"options": None}
store("hydra/sweeper", "scorelab", {"_target_": "hydra_plugins.scorelab_sweeper.ScorelabSweeper", **shared})
store("hydra/sweeper", "optimise", {"_target_": "hydra_plugins.scorelab_sweeper.ScorelabOptimiser", **shared, **search})
