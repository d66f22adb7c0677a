"""Nodes: parts of a configuration that name a class and give its arguments, checked without importing torch.

A node has a key `_target_`. It may name a class of scorelab, or of a package that the configuration lists under
`extensions`, if the class derives from the contract of the node's group. Nothing else is ever imported. The extensions
of a saved configuration count only if the user gives them as well: `scorelab.lab.runs.Run.checked`.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import PydanticCustomError, core_schema

from scorelab.errors import ConfigError
from scorelab.options import Options, explain, nearest, show

#: group -> contracts, as (module, class); a class that a node of the group names must derive from one of them
GROUPS = {
    "target": (("scorelab.targets.options", "TargetOptions"), ("scorelab.targets.base", "Target")),
    "denoiser": (("scorelab.denoisers.options", "DenoiserOptions"), ("scorelab.denoisers.base", "Denoiser")),
    "schedule": (("scorelab.schedules.base", "Schedule"),),
    "sampler": (("scorelab.samplers.base", "Sampler"),),
    "training": (("scorelab.training.options", "Training"),),
    "process": (("scorelab.processes.options", "ProcessOptions"),),
    "study": (("scorelab.studies.base", "Study"),),
}
#: group -> the node that a configuration has where it does not name the group, as those of earlier versions do not;
#: with this node the group is no part of a run's identity
DEFAULTS = {"process": {"_target_": "scorelab.processes.Isotropic"}}
#: the same as `GROUPS` for groups whose nodes stand only inside other nodes, and name only classes of the user's own
#: packages
FOREIGN = {"module": (("torch.nn", "Module"),)}
#: the same for other groups whose nodes stand only inside other nodes
NESTED = {"grid": (("scorelab.schedules.grids", "Grid"),)}
#: arguments that a component may ask for by name and that come from the run, not from its configuration
FROM_RUN = ("n", "target", "generator")
#: stands in an error message for the key of the node, where only the caller knows this key
HERE = "@"


@dataclass(frozen=True)
class Component:
    """A checked node: the class it names and the arguments it gives.

    key: where the node stands in the configuration; for a node inside another node, `HERE` and its place in that node.
    path: the `_target_`. options: the instance of the class if the class is an `Options`; None for any other class,
    because its instance is the thing itself.
    """

    key: str
    path: str
    cls: type
    arguments: dict[str, Any]
    options: Options | None

    def build(self, **run):
        """Build the thing: call `build` of an `Options` that has this method, or else make an instance of the class.

        run: values that the run can offer (n, target, generator, pretrained); the call gets the values that its
        signature asks for. Raises ConfigError if the class refuses its arguments with a ValueError, and for an argument
        to which the run and the node give different values.
        """
        if self.options is not None and not hasattr(self.options, "build"):
            return self.options
        maker, arguments = (self.cls, self.arguments) if self.options is None else (self.options.build, {})
        asked = {name: value for name, value in run.items() if name in inspect.signature(maker).parameters}
        for name in asked.keys() & arguments.keys():
            if arguments[name] is not asked[name] and arguments[name] != asked[name]:
                raise ConfigError(f"{self.key}.{name} = {show(arguments[name])}: comes from the run, leave it out")
        try:
            made = maker(**{**arguments, **asked})
            return made if self.options is None else self.options.finished(made)
        except ValueError as error:
            raise ConfigError(f"{self.key}: {error}") from None
        except ConfigError as error:
            if not str(error).startswith(f"{HERE}."):
                raise
            raise ConfigError(f"{self.key}{str(error).removeprefix(HERE)}") from None

    @property
    def data(self) -> dict[str, Any]:
        """The node as plain data, every value in its checked type."""
        if self.options is not None:
            plain = self.options.model_dump(mode="json")
        else:
            plain = json.loads(json.dumps(self.arguments, default=str))
        return {"_target_": self.path, **plain}

    @property
    def bookkeeping(self) -> tuple[str, ...]:
        """Keys of `data` that no result depends on."""
        return getattr(self.cls, "bookkeeping", ())

    def places(self, kind: str):
        """Yield (dotted key, value) of each option that names a place outside of the run directory, in the nodes inside
        this node too. kind: `reads` or `writes`."""
        for name, value in () if self.options is None else self.options:
            if name in getattr(self.options, kind) and value is not None:
                yield f"{self.key}.{name}", value
            if isinstance(value, Component):
                yield from ((f"{self.key}{key.removeprefix(HERE)}", inner) for key, inner in value.places(kind))


def component(group: str, node: Mapping[str, Any], extensions=(), key: str | None = None) -> Component:
    """Check one node of a group against the class that it names.

    extensions: packages whose classes the node may name beside the classes of scorelab. key: where the node stands, by
    default at the name of the group. Raises ConfigError with the first mistake.
    """
    key = group if key is None else key
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key} = {show(node)}: an option of the group {group} is needed, with its _target_")
    arguments = {str(name): value for name, value in node.items() if name != "_target_"}
    path = node.get("_target_")
    cls = resolve(group, path, extensions, key)
    if issubclass(cls, Options):
        refuse_unknown(key, arguments, cls.model_fields)
        try:
            options = cls.model_validate(arguments, context={"extensions": tuple(extensions)})
        except pydantic.ValidationError as error:
            raise explain(error, key, cls.model_fields) from None
        return Component(key, path, cls, arguments, options)
    return Component(key, path, cls, _check_signature(key, cls, arguments, extensions), None)


def resolve(group: str, path, extensions, key: str | None = None) -> type:
    """The class that a `_target_` names. Raises ConfigError for a class that may not stand there."""
    key = f"{group if key is None else key}._target_"
    allowed = [*extensions] if group in FOREIGN else ["scorelab", *extensions]
    if not isinstance(path, str) or not any(path.startswith(f"{package}.") for package in allowed):
        packages = ", ".join(allowed) or "your own packages"
        raise ConfigError(f"{key} = {show(path)}: allowed are classes of {packages} (extensions: [...] adds one)")
    try:
        found = _named_by(path)
    except ValueError as error:
        raise ConfigError(f"{key} = {path}: {error}") from None
    contracts = (GROUPS | NESTED | FOREIGN)[group]
    if isinstance(found, type):
        # The contracts that need torch are imported only if the light one does not fit.
        for home, contract in contracts:
            if issubclass(found, getattr(importlib.import_module(home), contract)):
                if inspect.isabstract(found):
                    missing = ", ".join(sorted(found.__abstractmethods__))
                    raise ConfigError(f"{key} = {path}: does not implement {missing}, which {contract} asks for")
                return found
    names = (name if home.startswith("scorelab.") else f"{home}.{name}" for home, name in contracts)
    raise ConfigError(f"{key} = {path}: a class derived from {' or '.join(names)} is needed")


def _named_by(path: str):
    """What a dotted path names, imported. Raises ValueError for what cannot be imported."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(load(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be imported ({error})") from None


def own_function(path, extensions):
    """The function that `PACKAGE.MODULE.FUNCTION` names, of a package among the extensions, which defines it.

    Raises ValueError, which says what is allowed, for anything else.
    """
    packages = ", ".join(extensions) or "your own packages"
    if not isinstance(path, str) or not any(path.startswith(f"{package}.") for package in extensions):
        raise ValueError(f"allowed are functions PACKAGE.MODULE.FUNCTION of {packages} (extensions: [...] adds one)")
    found = _named_by(path)
    home = getattr(found, "__module__", None) or ""
    if not inspect.isfunction(found) or home.partition(".")[0] not in {each.partition(".")[0] for each in extensions}:
        raise ValueError(f"a function that is defined in {packages} is needed")
    return found


def load(name: str):
    """Import and return a module by its dotted name.

    Raises ImportError, before anything of it is executed, for a module that lies in a folder without __init__.py or in
    a directory of runs: whatever lies somewhere below the working directory is no package.
    """
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        try:
            spec = importlib.util.find_spec(part)
        except ValueError:  # a module that was not found but made, such as __main__ of a notebook, is there already
            continue
        if spec is None:
            raise ModuleNotFoundError(f"No module named '{part}'")
        if spec.origin is None:
            raise ImportError(f"{part} is a folder without __init__.py, which is no package")
        for folder in Path(spec.origin).resolve().parents:
            if any((folder / record).is_file() for record in ("status.json", "sweep.json")):
                raise ImportError(f"{part} lies in {folder}, a directory of runs, from which nothing is imported")
    return importlib.import_module(name)


def named(given):
    """The node of a class whose path alone was given, without arguments."""
    return {"_target_": given} if isinstance(given, str) else given


class Node:
    """The type of an option that is a node itself: `network: Annotated[Component, Node("denoiser")]`.

    The value of the option is the checked `Component`. The extensions of the configuration hold for this node as well.

    group: a name in `GROUPS`, `NESTED` or `FOREIGN`. complete: function from the value that was given to the mapping
    that is checked.
    """

    def __init__(self, group: str, complete=lambda given: given):
        self.group, self.complete = group, complete

    def __get_pydantic_core_schema__(self, source, handler):
        """The schema with which pydantic checks the option by `check` and writes `Component.data`."""
        return core_schema.with_info_plain_validator_function(
            self.check, serialization=core_schema.plain_serializer_function_ser_schema(lambda node: node.data)
        )

    def check(self, value, info) -> Component:
        """Return the checked component of a mapping; a `Component` stays as it is.

        info: of the validation, whose context has the extensions. Raises PydanticCustomError, whose text begins with
        the place of the mistake below the option's own key.
        """
        if isinstance(value, Component):
            return value
        extensions = (info.context or {}).get("extensions", ())
        try:
            whole = self.complete(value)
            found = component(self.group, whole, extensions, HERE)
        except ConfigError as error:
            raise PydanticCustomError("node", "{text}", {"text": str(error).removeprefix(HERE)}) from None
        return dataclasses.replace(found, key=f"{HERE}.{info.field_name}")


def refuse_unknown(key: str, arguments, names):
    """Raise ConfigError for the first argument of a node that is not in `names`."""
    for name in arguments:
        if name not in names:
            raise ConfigError(f"{key}.{name}: unknown key; {nearest(name, names)}")


def fields_of(cls: type) -> list[str]:
    """The keys that a node of a class may have beside `_target_`."""
    if issubclass(cls, Options):
        return list(cls.model_fields)
    return [name for name in _parameters(cls) if name not in FROM_RUN]


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The named arguments of a class that is no `Options`."""
    parameters = dict(list(inspect.signature(cls.__init__, eval_str=True).parameters.items())[1:])
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: p for name, p in parameters.items() if p.kind not in several}


def _check_signature(key: str, cls: type, arguments: dict, extensions) -> dict:
    """Check arguments against the annotations of a class that is no `Options`; return them in the annotated types."""
    own = {name: p for name, p in _parameters(cls).items() if name not in FROM_RUN or name in arguments}
    refuse_unknown(key, arguments, own)
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
        checked = model.model_validate(arguments, context={"extensions": tuple(extensions)})
    except pydantic.ValidationError as error:
        raise explain(error, key, model.model_fields) from None
    return {name: getattr(checked, name) for name in fields}
