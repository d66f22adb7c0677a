"""From a composed configuration to checked options, without importing torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import stdlib_module_names
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BeforeValidator, Field, field_validator

from scorelab import tracking
from scorelab.errors import ConfigError
from scorelab.figures.own_style import settings
from scorelab.lab.names import pasted
from scorelab.nodes import DEFAULTS, GROUPS, Component, component, refuse_unknown, resolve
from scorelab.options import Count, Natural, Options, Seed, as_list, explain, nearest, show
from scorelab.samplers.job import JOB_KEYS, Sampling
from scorelab.studies.base import lookup

#: format of the file of a figure
Format = Literal["png", "pdf", "svg"]


class Figures(Options):
    """How figures are written. formats: formats of the files of each figure; none draws nothing, and keeps the arrays
    from which `stage=plot` draws later. dpi: resolution of the png files. style: the lines of a style on top of ours,
    which `scorelab.figures.own_style.read` makes of the file or the name that a user gives; a saved configuration has
    the lines alone."""

    added: ClassVar[Mapping[str, Any]] = {"style": None}

    formats: list[Format]
    dpi: int = Field(ge=50, le=1200)
    style: str | None = None

    @field_validator("style")
    @classmethod
    def _lines(cls, text):
        if text is not None:
            if "\n" not in text:  # a name is read where a user gives it, not where a saved configuration has one
                raise ValueError("the lines of a style are needed")
            settings(text)
        return text


class Sweep(Options):
    """Options of a multirun; see docs/sweeps.md."""

    added: ClassVar[Mapping[str, Any]] = {"detach": False}

    jobs: str | None
    resume: str | None
    dry_run: bool
    detach: bool = False


def _as_names(value):
    return [] if value is None else as_list(value)


class General(Options):
    """The keys of conf/config.yaml that are not groups.

    seed: the one integer that every random number follows from. replicas: runs of this configuration, with the seeds
    seed ... seed + replicas - 1, that are one run together; see `scorelab.lab.replicas`. stage: `all`, or one stage of
    the study on the run directory `run`. run: an existing run directory, for a stage. in_place: whether `stage=sample`
    works in this directory, and not in one of its own. device: `auto`, `cpu`, `cuda`, `cuda:K` or `mps`; see
    `scorelab.devices`. threads: of torch and of linear algebra on the CPU; null keeps the default of torch.
    extensions: packages whose classes a configuration may name. setting: the variant of a preset, if the preset has
    variants. tracking: trackers, see `scorelab.tracking`.
    """

    seed: Seed
    replicas: Annotated[Count, Field(le=1024)] = 1
    stage: str
    run: str | None
    in_place: bool = False
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?|mps)$")] = "auto"
    threads: Annotated[Count, Field(le=512)] | None
    extensions: list[str]
    setting: Natural | None
    figures: Figures
    #: of this command alone: no run saves it, and no saved configuration chooses it
    tracking: Annotated[list[str], BeforeValidator(_as_names), Field(exclude=True)] = []
    sweep: Sweep

    @field_validator("extensions")
    @classmethod
    def _packages(cls, names):
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")) or name.split(".")[0] in stdlib_module_names:
                raise ValueError(f"{name}: allowed are packages of your own, by their import names")
        return names


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    general: the keys that are not groups. components: group -> Component, for the study and the groups that it uses.
    data: the configuration as plain data, each value in its checked type, with the groups that are idle in it; a run
    saves it. sampling: the job that samples, whose rule is the component `sampler`; None if the study does not use this
    group.
    """

    general: General
    components: dict[str, Component]
    data: dict[str, Any]
    sampling: Sampling | None

    def __getitem__(self, group: str) -> Component:
        if group not in self.components:
            raise ConfigError(f"{group}: the study {self['study'].cls.__name__} does not use this group")
        return self.components[group]

    def options(self, group: str):
        """The options object of a group whose class is an `Options`."""
        return self[group].options

    def tracked_by(self, names) -> "Config":
        """The same configuration, with the trackers of this command: a name, several or None."""
        return replace(self, general=self.general.model_copy(update={"tracking": [*_as_names(names)]}))

    @property
    def study(self):
        return self.options("study")

    def uses(self, *groups: str) -> bool:
        """Whether the study uses all of these groups."""
        return set(groups) <= self.components.keys()

    def places(self, kind: str):
        """Yield (dotted key, value) of each option that names a place outside of the run directory; see `Options`."""
        for part in self.components.values():
            yield from part.places(kind)

    def require_given(self, given: Mapping[str, Any], kind: str, below: str = ""):
        """Raise ConfigError for a place outside of the run directory that the user did not give.

        given: the configuration that the user composed now, as plain data. kind: `reads` or `writes`; see `Options`.
        below: the beginning of the keys that are asked for; all keys by default.
        """
        for key, value in self.places(kind):
            if key.startswith(below) and lookup(given, key) != value:
                raise ConfigError(
                    f"{key} = {show(value)}: a place outside of the directory, which no file there chooses; "
                    f"{pasted(f'++{key}', value)} on the command line allows it"
                )

    @property
    def samples_anew(self) -> bool:
        """Whether a directory of its own is sampled into, from the run that is named."""
        return self.general.run is not None and self.general.stage == "sample" and not self.general.in_place

    @property
    def other_process(self) -> str | None:
        """The name of the process by which x is learned; None for the Gaussian channel of the schedule."""
        channel = not self.uses("process") or self.options("process").of_schedule
        return None if channel else self["process"].cls.__name__

    @property
    def fingerprint(self) -> str:
        """A digest of everything that the results depend on."""
        return hashlib.sha256(json.dumps(self.essential, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def essential(self) -> dict[str, Any]:
        """The part of `data` that the results depend on."""
        parts = {
            group: {key: value for key, value in self.data[group].items() if key not in part.bookkeeping}
            for group, part in self.components.items()
            if group not in DEFAULTS or part.data != component(group, DEFAULTS[group]).data
        }
        several = {"replicas": self.general.replicas} if self.general.replicas > 1 else {}
        return parts | several | {key: self.data[key] for key in ("seed", "extensions")}


def check(data: Mapping[str, Any]) -> Config:
    """Check a composed configuration, given as plain data. Raises ConfigError with the first mistake.

    Groups that the study does not use are not checked. A group that is missing has its node of `DEFAULTS`.
    """
    general = _general(data)
    extensions = general.extensions
    tracking.require(general.tracking, extensions)
    study_class = resolve("study", _node(data, "study").get("_target_"), extensions)
    _check_declaration(study_class)
    known = [*GROUPS, *General.model_fields]
    for key in data:
        if key not in known and key != study_class.keys:
            raise ConfigError(f"{key}: unknown key; {nearest(str(key), known)}")
    if general.stage not in ("all", *study_class.stages):
        raise ConfigError(f"stage = {show(general.stage)}: allowed are all, {', '.join(study_class.stages)}")
    nodes = {group: _node(data, group) for group in study_class.uses}
    job = {}
    if "sampler" in nodes:
        nodes["sampler"], job = _split(nodes["sampler"], extensions)
    nodes["study"] = {**_node(data, "study"), **(data.get(study_class.keys) or {})}
    places = dict.fromkeys(nodes) | {"study": study_class.keys}
    components = {group: component(group, node, extensions, places[group]) for group, node in nodes.items()}
    checked = {group: item.data for group, item in components.items()}
    for group in study_class.idle(components):
        del components[group]
    sampling = None
    if "sampler" in components:
        sampling = _job(components["sampler"].options, job)
        path, own = checked["sampler"].pop("_target_"), checked["sampler"]
        checked["sampler"] = {"_target_": path, **sampling.model_dump(mode="json", exclude={"rule"}), **own}
    config = Config(general, components, {**checked, **general.model_dump(mode="json")}, sampling)
    if config.uses("sampler", "schedule", "denoiser"):
        denoiser = config["denoiser"]
        try:
            sampling.require(config.options("schedule"), denoiser.options or denoiser.cls)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    config.study.require(config)
    why = config.study.only_cpu(config)
    if why is not None and general.device not in ("auto", "cpu"):
        raise ConfigError(f"device = {general.device}: {why}; allowed are auto, cpu")
    return config


def _split(node: Mapping, extensions) -> tuple[dict, dict]:
    """Split the node `sampler` into the keys of the rule, with its `_target_`, and the keys of the job."""
    cls = resolve("sampler", node.get("_target_"), extensions)
    refuse_unknown("sampler", [key for key in node if key != "_target_"], {*cls.model_fields, *JOB_KEYS})
    job = {key: value for key, value in node.items() if key in JOB_KEYS}
    return {key: value for key, value in node.items() if key not in JOB_KEYS}, job


def _job(rule, keys: Mapping) -> Sampling:
    try:
        return Sampling.model_validate({**keys, "rule": rule})
    except pydantic.ValidationError as error:
        raise explain(error, "sampler", Sampling.model_fields) from None


def _check_declaration(study: type) -> None:
    """Raise ConfigError for a study whose class variables cannot be what they say."""
    for group in study.uses:
        if group not in GROUPS:
            raise ConfigError(f"study {study.__name__}: uses = {group}: unknown group; {nearest(group, GROUPS)}")
    if not study.stages:
        raise ConfigError(f"study {study.__name__}: stages is empty: at least one stage is needed")


def _node(data, group) -> Mapping:
    node = data.get(group, DEFAULTS.get(group))
    if not isinstance(node, Mapping):
        raise ConfigError(f"{group}: an option of this group is needed, as in {group}=NAME")
    return node


def _general(data) -> General:
    try:
        return General.model_validate({key: data[key] for key in data if key in General.model_fields})
    except pydantic.ValidationError as error:
        raise explain(error, "", General.model_fields) from None


def sweep_options(node: Mapping[str, Any]) -> Sweep:
    """Check the node `sweep` alone, which concerns all jobs together. Raises ConfigError with the first mistake."""
    try:
        return Sweep.model_validate({str(key): node[key] for key in node})
    except pydantic.ValidationError as error:
        raise explain(error, "sweep", Sweep.model_fields) from None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The keys whose values differ between two configurations, each as "key: old -> new"."""
    found = []
    for key in sorted({*old, *new}, key=str):
        here, there, name = old.get(key, "absent"), new.get(key, "absent"), f"{prefix}{key}"
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found += differences(here, there, f"{name}.")
        elif here != there:
            found.append(f"{name}: {show(here)} -> {show(there)}")
    return found
