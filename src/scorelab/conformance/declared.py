"""What somebody's file declares: the samplers and denoisers in it, and what they claim. No torch at the import."""

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from scorelab.errors import ScorelabError, one_line

#: id -> (thing, options) of all that was declared; the things are kept, so that no id is used again
_DECLARED = {}
#: number of arguments without a default -> what a function with so many is
_KINDS = {5: "sampler", 2: "denoiser"}


def declare(**options):
    """Declare a sampler or a denoiser for `scorelab conformance` and `pytest --scorelab`, with what it claims.

    @declare(order=2, end_noise=0.01)
    def my_sampler(denoiser, count, n, steps, generator): ...

    options: those of `check_sampler` or of `check_denoiser`. It returns the function, or any other thing, as it is.
    """

    def remember(thing):
        _DECLARED[id(thing)] = thing, options
        return thing

    return remember


@dataclass(frozen=True)
class Found:
    """A sampler or denoiser, by its name in a file. options: what it declares."""

    name: str
    thing: object
    options: dict = field(default_factory=dict)

    def check(self, kind: str | None = None, **more):
        """Its check, a `Check` that measures one property at a time, and the names of the properties to check.

        kind: sampler or denoiser; None finds it out. more: options in the place of those that it declares. Raises
        ScorelabError for options that do not exist and for things that cannot be checked.
        """
        from scorelab.conformance.denoiser import DenoiserCheck
        from scorelab.conformance.sampler import Options, SamplerCheck

        kind, given = kind or kind_of(self.name, self.thing), {"name": self.name, **self.options, **more}
        only = given.pop("only", None)
        of_check = {"sampler": ("convention", "schedule", "name"), "denoiser": _arguments(DenoiserCheck)}[kind]
        allowed = {*of_check, *(Options.__dataclass_fields__ if kind == "sampler" else ())}
        if unknown := sorted({*given} - allowed):
            raise ScorelabError(f"{self.name}: {unknown[0]} is no option of a {kind}; {', '.join(sorted(allowed))} are")
        if kind == "denoiser":
            check = DenoiserCheck(self.thing, **given)
        else:
            own = {key: given.pop(key) for key in [*given] if key not in of_check}
            check = SamplerCheck(self.thing, Options(**own), **given)
        return check, check.chosen(only)


def _arguments(cls):
    return [*inspect.signature(cls).parameters][1:]


def kind_of(name: str, thing) -> str:
    """Whether something is a sampler or a denoiser: by its class, or by the number of its arguments.

    Raises ScorelabError where it is neither.
    """
    import torch

    from scorelab.conformance.forms import is_scheduler
    from scorelab.samplers import Sampler

    if isinstance(thing, Sampler) or is_scheduler(thing):
        return "sampler"
    if isinstance(thing, torch.nn.Module):
        return "denoiser"
    count = _needed(thing) if callable(thing) else None
    if count not in _KINDS:
        raise ScorelabError(
            f"{name}: a sampler takes (denoiser, count, n, steps, generator), a denoiser takes (x, angle)"
            + (f"; it takes {count} arguments" if count is not None else f"; it is a {type(thing).__name__}")
        )
    return _KINDS[count]


def _needed(function) -> int:
    """How many arguments without a default a function takes."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in arguments)


def found_in(module) -> list[Found]:
    """What a module declares; where it declares nothing, its functions `sampler` and `denoiser`, and where it has none
    of these names, its only public function with the arguments of one. Raises ScorelabError where nothing is found."""
    declared = [
        Found(name, thing, _DECLARED[id(thing)][1]) for name, thing in vars(module).items() if id(thing) in _DECLARED
    ]
    if declared:
        return declared
    own = {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isfunction(thing) and thing.__module__ == module.__name__ and _needed(thing) in _KINDS
    }
    found = [Found(name, own[name]) for name in ("sampler", "denoiser") if name in own]
    public = [name for name in own if not name.startswith("_")]
    if found or len(public) == 1:
        return found or [Found(public[0], own[public[0]])]
    where = module.__file__ or module.__name__
    if public:
        raise ScorelabError(f"{where}: which of {', '.join(public)}? Name one as {where}:{public[0]}, or declare them")
    raise ScorelabError(
        f"{where}: no function with the arguments (denoiser, count, n, steps, generator) or (x, angle) is in it"
    )


def named_in(module, name: str) -> Found:
    """What has a name in a module; a class is called without arguments. Raises ScorelabError where there is none."""
    if name not in vars(module) and not hasattr(module, name):
        raise ScorelabError(f"{module.__file__ or module.__name__}: has no {name}")
    thing = getattr(module, name)
    options = _DECLARED.get(id(thing), (None, {}))[1]
    if inspect.isclass(thing):
        try:
            thing = thing()
        except Exception as error:  # whatever its constructor raises
            raise ScorelabError(f"{name}: cannot be made without arguments: {one_line(error)}") from None
    return Found(name, thing, options)


def load(where: str) -> tuple[object, str | None]:
    """The module, and the name if there is one, of FILE.py, FILE.py:NAME, or package.module:NAME.

    Raises ScorelabError for a file or a module that is not there, and for an error in it.
    """
    place, colon, name = str(where).rpartition(":")
    if not colon or not (place.endswith(".py") or not os.path.exists(where)):
        place, name = str(where), None
    if colon and not name and name is not None:
        raise ScorelabError(f"{where}: a name is needed after the colon")
    return (_file(Path(place)) if place.endswith(".py") else _module(place)), name


def _file(path: Path):
    """A file as a module; its folder comes first where it imports others."""
    if not path.is_file():
        raise ScorelabError(f"{path}: no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and others look for it
    with _told(path):
        spec.loader.exec_module(module)
    return module


def _module(name: str):
    if not all(part.isidentifier() for part in name.split(".")):
        raise ScorelabError(f"{name}: FILE.py, FILE.py:NAME or package.module:NAME is needed")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _told(name):
        return importlib.import_module(name)


class _told:
    """Errors of somebody's file as one line, with the line of the file."""

    def __init__(self, where):
        self.where = where

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None or isinstance(error, KeyboardInterrupt | ScorelabError):
            return
        file = str(Path(self.where).resolve())
        inside = [each.lineno for each in traceback.extract_tb(trace) if os.path.realpath(each.filename) == file]
        line = error.lineno if isinstance(error, SyntaxError) else inside[-1] if inside else None
        place = f"{self.where}, line {line}" if line else str(self.where)
        raise ScorelabError(f"{place}: {one_line(error)}") from None
