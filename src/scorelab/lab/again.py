"""A stage of an existing run: done again in its directory, or sampled from it in a directory of its own.

A run that is sampled from another one takes what the stages before `sample` left there: the weights, the tables and
arrays, and the numbers. The other run is only read, so that many can be sampled from it at once.
"""

import hashlib
from pathlib import Path

from omegaconf import OmegaConf

from scorelab.errors import ConfigError, ScorelabError
from scorelab.files import inside, make_folder, remove_all_but, second_name, write_json
from scorelab.lab import locks
from scorelab.lab.config import Config, check, differences
from scorelab.lab.execution import require_device
from scorelab.lab.runs import OF_START, SECTION, Run, read_metrics, without_sections
from scorelab.nodes import GROUPS

#: the end of the names of files with weights
_WEIGHTS = ".safetensors"


def existing_run(config) -> Run | None:
    """The run that `run` or `training.resume` names; None for a new run. Raises ConfigError if both name one, and
    ScorelabError, with the key, where there is none."""
    named = {key: OmegaConf.select(config, key) for key in ("run", "training.resume")}
    named = {key: str(name) for key, name in named.items() if name is not None}
    if len(named) > 1:
        raise ConfigError("run and training.resume: only one of them can name a run directory")
    for key, name in named.items():
        return Run.open(name, key)
    return None


def merge(run: Run, asked: dict, overrides: list[str], groups: set[str]) -> Config:
    """The configuration of an existing run, changed by the overrides that are given now.

    asked: the whole configuration that is composed now; the run's extensions, and places outside of it, have to be in
    it as well. groups: the groups whose options have names. A stage may change only what this stage and the stages
    after it depend on; a resumed training may change nothing. Raises ConfigError for any other change.
    """
    given, before = asked, run.checked(asked.get("extensions") or ())
    data, asked = OmegaConf.create(before.data), OmegaConf.create(asked)
    for override in overrides:
        group, _, package = override.lstrip("+~").split("=", 1)[0].partition("@")
        key = package or group
        value = OmegaConf.select(asked, key)
        if "." not in key and key not in asked and override in run.overrides:
            continue  # a preset, named again so that the places and extensions that it names are given
        if key == "study" and value.get("_target_") == data["study"]["_target_"]:
            continue  # named again so that its keys can be given; those that are not given stay as the run has them
        whole = key in groups or (OmegaConf.is_dict(value) and "_target_" in value)  # a node is replaced as a whole
        OmegaConf.update(data, key, value, merge=not whole, force_add=True)
    for key in ("run", "stage", "in_place", "tracking"):  # of this command, not of the last one in the directory
        data[key] = given.get(key)
    for group in GROUPS:  # the study that is asked for now may use more groups
        if group not in data:
            data[group] = asked[group]
    config = check(OmegaConf.to_container(data))
    stage = config.general.stage
    resuming = config.general.run is None
    if resuming and stage != "all":
        raise ConfigError(f"training.resume: goes with stage=all, not with stage={stage}")
    if resuming and config.general.in_place:
        raise ConfigError("in_place = true: goes with run=DIR; training.resume works in the directory that it names")
    if not resuming and stage in ("all", "train"):
        raise ConfigError(f"run = {run.path}: goes with stage=sample, analyse or plot, not with stage={stage}")
    free = config.study.changes.get(stage, ())
    if config.uses("training") and config.options("training").angles == "native":  # on the schedule's time
        free = tuple(group for group in free if group != "schedule")
    old, new = ({key: value for key, value in one.essential.items() if key not in free} for one in (before, config))
    changed = differences(old, new)
    if changed:
        what = "training.resume" if resuming else f"stage={stage}"
        raise ConfigError(f"{run.path}: of another configuration, {what} cannot change {'; '.join(changed)}")
    whole = run.path.absolute().parents[1]
    if not config.samples_anew and config.fingerprint != before.fingerprint and _is_replica(run, whole):
        changed = "; ".join(differences(before.essential, config.essential))
        why = "its numbers are in the means of this run, which would be of unlike runs"
        raise ConfigError(f"{run.path}: a replica of {whole}, {why} ({changed}); run={whole} changes every replica")
    config.require_given(given, "reads", "" if resuming else "target.")  # every stage reads the data of a target
    config.require_given(given, "writes")
    require_device(config)
    return config


def _is_replica(run: Run, whole: Path) -> bool:
    return run.path.absolute().parent.name == "replicas" and (whole / "status.json").is_file()


def require_trained(origin: Run, config: Config):
    """Raise ScorelabError unless a run can be sampled from: no process works at it, and what the stages before `sample`
    wrote is there, its weights whole, of each replica as well."""
    for each in _with_replicas(origin, config):
        owner = locks.owner(each.path)
        if owner is not None:
            raise ScorelabError(f"{each.path}: is running, {owner}")
        missing = [stage for stage in _before(config) if each.needs(stage)]
        if missing:
            raise ConfigError(f"stage = {config.general.stage}: {each.path} has no finished stage {missing[0]}")
        for name in _files(each, config):
            if not inside(each.path, name).is_file():
                raise ScorelabError(f"{each / name}: no such file")
            if name.endswith(_WEIGHTS):
                from scorelab.tensorfile import require_whole

                require_whole(each / name)


def take(origin: Run, run: Run, config: Config, overrides: list[str]):
    """Give a new directory what another run left before it sampled, and write down where it is from.

    Files get a second name, and a copy where there are no such names: no file of a run is changed in its place. What
    was taken goes again if it cannot be taken whole. Raises ScorelabError then, and for what `require_trained` refuses.
    """
    require_trained(origin, config)
    try:
        for old, new in zip(_with_replicas(origin, config), _with_replicas(run, config), strict=True):
            _take_one(old, new, config)
    except ScorelabError:
        remove_all_but(run.path, OF_START)
        raise
    run.save_overrides(overrides)


def _take_one(origin: Run, run: Run, config: Config):
    digests, written = {}, _written(origin, config)
    for name in _files(origin, config):
        path = inside(run.path, name)
        make_folder(path.parent)
        try:
            second_name(inside(origin.path, name).resolve(), path)
            if path.suffix == _WEIGHTS:
                digests[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ScorelabError(f"{path}: cannot be taken from {origin.path} ({error.strerror})") from None
    if (origin / "metrics.json").is_file():
        metrics = read_metrics(origin / "metrics.json")
        known = {name.removeprefix(SECTION) for names in written.values() for name in names if name.startswith(SECTION)}
        kept = known & {*metrics} or {*metrics} - {"run", "replicas"}  # a run of an earlier version has no such names
        write_json(run / "metrics.json", without_sections(metrics, {*metrics} - kept))
    whence = {"run": str(origin.path.absolute()), "fingerprint": origin.status.get("fingerprint"), "weights": digests}
    run.mark("pending", stages=list(_before(config)), files=written, sampled_from=whence)


def _written(run: Run, config: Config) -> dict[str, list[str]]:
    """Stage -> what it wrote, for the stages before the one that is asked for."""
    return {stage: names for stage, names in run.status.get("files", {}).items() if stage in _before(config)}


def _files(run: Run, config: Config) -> list[str]:
    """The weights, tables and arrays of the stages before the one that is asked for, as names in the directory."""
    known = {name for names in _written(run, config).values() for name in names}
    found = {path.name for path in run.path.glob(f"[!.]*{_WEIGHTS}") if not path.name.startswith("checkpoint")}
    if not known and (run / "training.csv").is_file():
        found.add("training.csv")  # a run of an earlier version
    return sorted(found | {name for name in known if Path(name).suffix in (".csv", ".npz", _WEIGHTS)})


def _before(config: Config) -> tuple[str, ...]:
    """The stages before the one that is asked for."""
    every = tuple(config.study.stages)
    return every[: every.index(config.general.stage)]


def _with_replicas(run: Run, config: Config) -> list[Run]:
    """A run, and its replicas where it has several."""
    count = config.general.replicas
    return [run, *(Run(run / "replicas" / str(number)) for number in range(count if count > 1 else 0))]
