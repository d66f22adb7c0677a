"""From a composed configuration to checked options, without importing torch.

Every node with a `_target_` names one class. It may be a class of scorelab, or of a package that the configuration
lists under `extensions` and that derives from the contract of the node's group; nothing else is ever imported, so a
configuration file cannot run arbitrary code.
"""

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import Field, field_validator

from scorelab.errors import ConfigError
from scorelab.options import Count, Natural, Options, explain, nearest, show

#: group -> the contracts that a class named there must derive from, as module and class
GROUPS = {
    "target": (("scorelab.targets.options", "TargetOptions"), ("scorelab.targets.base", "Target")),
    "denoiser": (("scorelab.denoisers.options", "DenoiserOptions"), ("scorelab.denoisers.base", "Denoiser")),
    "schedule": (("scorelab.schedules.base", "Schedule"),),
    "sampler": (("scorelab.samplers.base", "Sampler"),),
    "training": (("scorelab.training.options", "Training"),),
    "study": (("scorelab.studies.base", "Study"),),
}
#: arguments that a component may ask for by name and that come from the run, not from its configuration
FROM_RUN = ("n", "target", "generator")
STAGES = ("train", "sample", "analyse", "plot")


class Figures(Options):
    """formats: files written for each figure. dpi: resolution of the png files."""

    formats: list[Literal["png", "pdf", "svg"]] = Field(min_length=1)
    dpi: int = Field(ge=50, le=1200)


class Sweep(Options):
    """Options of a multirun; see docs/sweeps.md."""

    jobs: str | None
    resume: str | None
    dry_run: bool


class Claims(Options):
    """Options of study=claims. only: ids or seeds, all for none. quick: a share of the draws. jobs: processes, null for
    one a core. docs: a folder that the page and its pictures are also written to."""

    list: bool
    only: list[str]
    quick: bool
    jobs: Count | None
    docs: str | None


class General(Options):
    """The keys of conf/config.yaml that are not groups.

    seed: the one integer that every random number follows from. stage: `all`, or one stage on the run directory `run`.
    run: an existing run directory, for a stage. threads: of torch on the CPU, null for its default.
    extensions: packages whose classes a configuration may name. setting: of the semester paper, for the presets.
    claims: of study=claims alone.
    """

    seed: Natural
    stage: Literal["all", "train", "sample", "analyse", "plot"]
    run: str | None
    threads: int | None = Field(ge=1)
    extensions: list[str]
    setting: int | None = Field(ge=1, le=4)
    figures: Figures
    sweep: Sweep
    claims: Claims | None = None

    @field_validator("extensions")
    @classmethod
    def _packages(cls, names):
        for name in names:
            if (
                not all(part.isidentifier() for part in name.split("."))
                or name.split(".")[0] in sys.stdlib_module_names
            ):
                raise ValueError(f"{name}: allowed are packages of your own, by their import names")
        return names


@dataclass(frozen=True)
class Component:
    """A checked node: the class it names and the arguments it gives.

    options: the class called with its arguments, where it is an `Options`; None where calling it would build the thing.
    """

    group: str
    path: str
    cls: type
    arguments: dict[str, Any]
    options: Options | None

    def build(self, **run):
        """The thing itself: an `Options` with `build` builds it, any other class is it.

        run: what the run can offer (n, target, generator); a class gets what its signature asks for.
        """
        if self.options is not None and not hasattr(self.options, "build"):
            return self.options
        maker, arguments = (self.cls, self.arguments) if self.options is None else (self.options.build, {})
        asked = {name: value for name, value in run.items() if name in inspect.signature(maker).parameters}
        try:
            return maker(**arguments, **asked)
        except ValueError as error:
            raise ConfigError(f"{self.group}: {error}") from None


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    general: the keys that are not groups. components: group -> Component. data: the whole configuration as plain data,
    each value in its checked type, as it is saved with a run.
    """

    general: General
    components: dict[str, Component]
    data: dict[str, Any]

    def __getitem__(self, group: str) -> Component:
        return self.components[group]

    def options(self, group: str):
        """The options object of a group whose class is an `Options`."""
        return self.components[group].options

    @property
    def fingerprint(self) -> str:
        """A digest of everything that the results depend on."""
        return hashlib.sha256(json.dumps(self.essential, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def essential(self) -> dict[str, Any]:
        """The part of `data` that the results depend on."""
        essential = {key: self.data[key] for key in (*GROUPS, "seed", "extensions")}
        bookkeeping = ("resume", "checkpoint_every")
        essential["training"] = {key: value for key, value in self.data["training"].items() if key not in bookkeeping}
        return essential


def check(data: Mapping[str, Any]) -> Config:
    """Check a composed configuration, given as plain data. Raises ConfigError with the first mistake."""
    general_keys = set(General.model_fields)
    for key in data:
        if key not in GROUPS and key not in general_keys:
            raise ConfigError(f"{key}: unknown key; {nearest(str(key), [*GROUPS, *general_keys])}")
    try:
        general = General.model_validate({key: data[key] for key in data if key not in GROUPS})
    except pydantic.ValidationError as error:
        raise _locate(error, "", General) from None
    components = {}
    for group in GROUPS:
        if not isinstance(data.get(group), Mapping):
            raise ConfigError(f"{group}: an option of this group is needed, as in {group}=NAME")
        components[group] = component(group, data[group], general.extensions)
    denoiser = components["denoiser"]
    try:
        components["sampler"].options.require(components["schedule"].options, denoiser.options or denoiser.cls)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    checked = {group: {"_target_": item.path, **_plain(item)} for group, item in components.items()}
    config = Config(general, components, {**checked, **general.model_dump(mode="json")})
    config.options("study").require(config)
    return config


def sweep_options(node: Mapping[str, Any]) -> Sweep:
    """Check the node `sweep` alone, which says what is done with all jobs together."""
    try:
        return Sweep.model_validate({str(key): node[key] for key in node})
    except pydantic.ValidationError as error:
        raise _locate(error, "sweep", Sweep) from None


def component(group: str, node: Mapping[str, Any], extensions=()) -> Component:
    """Check one node against the class that it names."""
    arguments = {str(key): value for key, value in node.items() if key != "_target_"}
    path = node.get("_target_")
    cls = _resolve(group, path, extensions)
    if issubclass(cls, Options):
        _refuse_unknown(group, arguments, set(cls.model_fields))
        try:
            return Component(group, path, cls, arguments, cls.model_validate(arguments))
        except pydantic.ValidationError as error:
            raise _locate(error, group, cls) from None
    return Component(group, path, cls, _check_signature(group, cls, arguments), None)


def _resolve(group: str, path, extensions) -> type:
    allowed = ["scorelab", *extensions]
    key = f"{group}._target_"
    if not isinstance(path, str) or not any(path.startswith(f"{package}.") for package in allowed):
        raise ConfigError(
            f"{key} = {show(path)}: allowed are classes of {', '.join(allowed)} (extensions: [...] adds one)"
        )
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key} = {path}: cannot be imported ({error})") from None
    contracts = GROUPS[group]
    if isinstance(found, type):
        # The contracts that need torch are imported only if the light one does not fit.
        for home, contract in contracts:
            if issubclass(found, getattr(importlib.import_module(home), contract)):
                if inspect.isabstract(found):
                    missing = ", ".join(sorted(found.__abstractmethods__))
                    raise ConfigError(f"{key} = {path}: does not implement {missing}, which {contract} asks for")
                return found
    raise ConfigError(f"{key} = {path}: a class derived from {' or '.join(name for _, name in contracts)} is needed")


def _refuse_unknown(group, arguments, names):
    for name in arguments:
        if name not in names:
            raise ConfigError(f"{group}.{name}: unknown key; {nearest(name, names)}")


def _check_signature(group: str, cls: type, arguments: dict) -> dict:
    """Check arguments against the annotations of a class that is not an `Options`; return them in their types."""
    parameters = dict(list(inspect.signature(cls.__init__, eval_str=True).parameters.items())[1:])
    own = {name: p for name, p in parameters.items() if name not in FROM_RUN or name in arguments}
    _refuse_unknown(group, arguments, own)
    fields = {
        name: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in own.items()
    }
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    model = pydantic.create_model(cls.__name__, __config__=config, **fields)
    try:
        checked = model.model_validate(arguments)
    except pydantic.ValidationError as error:
        raise _locate(error, group, model) from None
    return {name: getattr(checked, name) for name in fields}


def _locate(error: pydantic.ValidationError, key: str, model) -> ConfigError:
    return explain(error, key, model.model_fields)


def _plain(item: Component) -> dict[str, Any]:
    if item.options is not None:
        return item.options.model_dump(mode="json")
    return json.loads(json.dumps(item.arguments, default=str))


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
