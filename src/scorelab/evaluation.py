"""Samples of any origin beside a target that is named as in a configuration: `scorelab.evaluate`."""

from scorelab.lab.parts import target_of
from scorelab.metrics import evaluation
from scorelab.metrics.evaluation import Evaluation
from scorelab.targets import Target


def evaluate(samples, target, *, seed: int = 0, repeats: int = 200) -> Evaluation:
    """Hold samples against a target: a `scorelab.targets.Target`, the name of an option of the group `target`, or a
    list of overrides such as ["target=mixture", "target.n=8"].

    samples, seed, repeats, and what is raised: see `scorelab.metrics.evaluation.evaluate`. Raises ConfigError for
    overrides that cannot be read.
    """
    if not isinstance(target, Target):
        target = target_of([f"target={target}"] if isinstance(target, str) else target)
    return evaluation.evaluate(samples, target, seed=seed, repeats=repeats)
