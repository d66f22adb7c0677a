"""Optuna's side of a sweep that optimises: the record of what was asked and told, and the samplers that ask.

The record is `optuna.jsonl` in the directory of the sweep, a journal that Optuna's own tools open too; each line is
JSON, and reading it runs nothing. Optuna is imported when it is used.
"""

import contextlib
import inspect
import math
import warnings
from pathlib import Path

import numpy

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import remove
from scorelab.lab.space import Dimension
from scorelab.options import nearest, show

#: the record, and the name that the study has in it
RECORD, NAME = "optuna.jsonl", "scorelab"
#: name of a sampler -> its class in `optuna.samplers`
SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "grid": "GridSampler",
}


def require_optuna():
    """Raise ConfigError where Optuna is not installed; let it be quiet where it is."""
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "hydra/sweeper=optimise: needs the package optuna: pip install 'scorelab[optimise]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def new_study(directions, storage=None):
    """An Optuna study without trials; in memory, or in a storage."""
    import optuna

    ours = {"minimise": "minimize", "maximise": "maximize"}
    with _quiet():
        return optuna.create_study(storage=storage, study_name=NAME, directions=[ours[each] for each in directions])


def recorded(directory: Path, directions):
    """The study in the directory of a sweep, which nobody else works at; a new one where there is no record yet.

    Raises ScorelabError for a record that cannot be read.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = directory / RECORD
    remove(directory / f"{RECORD}.lock")  # of a process that was killed; the lock of the directory is ours
    if path.is_file():
        _drop_half_a_line(path)
    try:
        with _quiet():
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
            if not storage.get_all_studies():
                return new_study(directions, storage)
            return optuna.load_study(study_name=NAME, storage=storage)
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise ScorelabError(f"{path}: cannot be read ({one_line(error)})") from None


def _drop_half_a_line(path: Path):
    """Cut off what a process that was killed had begun to write at the end of a record."""
    with open(path, "r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def ask(study, search, space: list[Dimension]):
    """The next trial of a study.

    A sampler is made anew for each trial, from the seed and the number of the trial. Hence what is asked follows from
    what was told before, and a sweep that was interrupted goes on as if it had not been. Raises ConfigError where the
    sampler cannot work with its options.
    """
    study.sampler = sampler(search, space, len(study.trials))
    try:
        with _quiet():
            return study.ask({dimension.key: dimension.distribution() for dimension in space})
    except (TypeError, ValueError, ArithmeticError) as error:
        if not search.options:
            raise
        raise ConfigError(f"hydra.sweeper.options = {show(search.options)}: {one_line(error)}") from None


def tell(study, number: int, values: list[float] | None):
    """Tell what a trial found; None where it failed."""
    import optuna

    # A sampler of Optuna may stop a study when it is told of a trial, which only a study that runs itself can bear.
    study.sampler = optuna.samplers.RandomSampler()
    study.tell(number, values, state=optuna.trial.TrialState.FAIL if values is None else None)


def is_exhausted(study, search, space) -> bool:
    """Whether every point of a grid has been asked for."""
    return search.sampler == "grid" and len(study.trials) >= grid_size(space)


def grid_size(space) -> int:
    """The points of a grid. Raises ConfigError for a dimension without a grid."""
    for dimension in space:
        if dimension.texts is None:
            raise ConfigError(
                f"{dimension.key}: an interval has no grid; hydra.sweeper.sampler=grid needs range(...) or a choice"
            )
    return math.prod(len(dimension.texts) for dimension in space)


def sampler(search, space, number: int):
    """The sampler of Optuna for the trial of a number. Raises ConfigError for options that it does not have."""
    import optuna

    cls = getattr(optuna.samplers, SAMPLERS[search.sampler])
    own, given = {}, search.options
    if search.sampler == "grid":
        grid_size(space)
        own["search_space"] = {each.key: [_point(each, text) for text in each.texts] for each in space}
    if search.sampler == "tpe" and search.n_jobs > 1:
        own["constant_liar"] = True  # trials that run at the same time keep off each other
    if search.sampler == "qmc":  # before it knows the space, and for choices
        own["independent_sampler"] = optuna.samplers.RandomSampler(_seed(search.seed, number))
        own["warn_independent_sampling"] = False
    known = {*inspect.signature(cls).parameters} - {"seed", *own}
    for name in given:
        if name not in known:
            raise ConfigError(f"hydra.sweeper.options.{name}: no option of {cls.__name__}; {nearest(name, known)}")
    # the points of a quasi-random sequence, and of a grid, belong together
    seed = search.seed if search.sampler in ("qmc", "grid") else _seed(search.seed, number)
    try:
        with _quiet():
            return cls(seed=seed % 2**32, **own, **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.sweeper.options = {given}: {one_line(error)}") from None


def _point(dimension: Dimension, text: str):
    return text if dimension.low is None else (int if dimension.integer else float)(text)


def _seed(seed: int, number: int) -> int:
    return int(numpy.random.SeedSequence([seed, number]).generate_state(1)[0])


@contextlib.contextmanager
def _quiet():
    """Without Optuna's warnings of what it may change."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
