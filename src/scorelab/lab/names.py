"""Names of directories, and how the command line reads and is told them.

Hydra's grammar reads a value without quotation marks only if it has few kinds of characters. The names that runs get
have no others. Any other path is quoted before Hydra sees it, so that every name that a shell completes or a message
prints can be pasted.
"""

import os
import re
import shlex
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scorelab.errors import ConfigError, ScorelabError
from scorelab.files import read_json


def _is_done(directory: Path) -> bool:
    return _state(directory) == "done"


def _goes_on(directory: Path) -> bool:
    """Whether a run did not come to its end and has what its training goes on from."""
    state = _state(directory)
    failed = state == "failed" and any(directory.glob("checkpoint*.safetensors"))
    return failed or state in ("interrupted", "running")


def _state(directory: Path) -> str | None:
    """The state of a run, None where its record cannot be read."""
    try:
        return read_json(directory / "status.json").get("state")
    except (ScorelabError, AttributeError):
        return None


#: keys whose value `last` is the newest directory below `outputs` -> the file that makes a directory one of the kind,
#: what it is, and whether it fits
_LAST = {
    "run": ("status.json", "run that is done", _is_done),
    "training.resume": ("status.json", "run that was interrupted", _goes_on),
    "sweep.resume": ("sweep.json", "sweep", lambda directory: True),
}
#: keys whose value is one path, also in a sweep
_PATHS = (*_LAST, "sweep.jobs", "claims.docs", "hydra.run.dir", "hydra.sweep.dir")
#: texts that Hydra reads as something else
_WORDS = ("null", "true", "false", "inf", "nan")
#: below it lie the runs and the sweeps that were given no directory
OUTPUTS = "outputs"


def override_names(overrides) -> str:
    """The end of a directory name: "-denoiser-tanh+training.N-5000"; other characters are left out."""
    words = [str(override).lstrip("+~") for override in as_given(overrides)]
    words = [word.replace("=", "-") for word in words if not word.startswith(("hydra.", "run="))]
    words = [re.sub(r"[^A-Za-z0-9_.-]", "", word) for word in words]
    return f"-{'+'.join(words)[:100]}" if words else ""


def as_given(overrides) -> list[str]:
    """Overrides as they were written, whose interpolations stay as they are."""
    return OmegaConf.to_container(overrides, resolve=False) if OmegaConf.is_list(overrides) else list(overrides)


def as_override(value) -> str:
    """A value, also of YAML, in the grammar of Hydra's command line."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_override(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(as_override, value)) + "]"
    if isinstance(value, (str, Path)):
        # a backslash is an ordinary character, but before a quotation mark
        text = str(value)
        plain = re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII) and text.lower() not in _WORDS
        return text if plain else "'" + re.sub(r"(\\*)('|$)", _before_quote, text) + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _before_quote(found: re.Match) -> str:
    return found[1] * 2 + found[2].replace("'", "\\'")


def pasted(key: str, value) -> str:
    """KEY=VALUE as a shell has to be told it, for the value of a configuration."""
    word = f"{key}={value}"
    plain = isinstance(value, (str, Path)) and (key in _PATHS or _value(word)[0] == str(value))
    return shlex.quote(word if plain else f"{key}={as_override(value)}")


def readable(words) -> list[str]:
    """The words of a command line, or overrides, as Hydra can read them: paths in quotation marks where they need them,
    and the directory that `run=last`, `training.resume=last` and `sweep.resume=last` stand for.

    A path is what one of `_PATHS` is set to, and, where Hydra cannot read it, anything that exists. Raises ConfigError
    where `last` stands for nothing.
    """
    return [_readable(word) for word in words]


def _readable(word: str) -> str:
    key, _, text = word.partition("=")
    name = key.lstrip("+")
    if not text or key.startswith("-"):
        return word
    if name in _LAST and text == "last":
        return f"{key}={as_override(newest(name))}"
    if name not in _PATHS and not os.path.lexists(text):
        return word
    value, can_be_read = _value(word)
    quoted = text[0] in "'\"" and isinstance(value, str)
    as_it_is = value == text or quoted or text.lower() == "null" if name in _PATHS else can_be_read
    return word if as_it_is else f"{key}={as_override(text)}"


def _value(word: str) -> tuple[object, bool]:
    """The value of an override, None if it has several, and whether Hydra can read it."""
    try:
        override = OverridesParser.create().parse_override(word)
        return None if override.is_sweep_override() else override.value(), True
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError):
        return None, False


def newest(key: str) -> Path:
    """The directory below outputs/ that was begun last: a run that is done for `run`, one that did not come to its end
    for `training.resume`, a sweep for `sweep.resume`. A job of a sweep is no run of its own.

    Raises ConfigError if there is none.
    """
    (record, what, fits), found = _LAST[key], []
    for folder, folders, files in os.walk(OUTPUTS):
        if record in files:
            found.append((_begun(Path(folder), record), folder))
        if {"status.json", "sweep.json"} & {*files}:
            folders.clear()
    for _, folder in sorted(found, reverse=True):
        if fits(Path(folder)):
            return Path(folder)
    raise ConfigError(f"{key} = last: there is no {what} below {OUTPUTS}")


def _begun(directory: Path, record: str) -> int:
    """When a run or a sweep was begun, as a number of nanoseconds; its record may be written again by a later stage."""
    once = directory / ".hydra" / "overrides.yaml"
    return (once if once.is_file() else directory / record).stat().st_mtime_ns
