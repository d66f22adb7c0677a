"""What Hydra and OmegaConf refuse, said as scorelab says it: one line with the key, the value and what is allowed."""

import contextlib
import re
import traceback

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import config_folder
from scorelab.lab.help import options
from scorelab.nodes import FOREIGN, GROUPS, NESTED, fields_of, resolve
from scorelab.options import nearest

#: beginnings of the overrides that open an existing run
_EXISTING = ("run=", "training.resume=")
#: what Hydra raises for overrides and files that it cannot make a configuration of
REFUSALS = (HydraException, OmegaConfBaseException, ValueError, OSError, RecursionError, yaml.YAMLError)


@contextlib.contextmanager
def as_config_errors(words):
    """Raise what Hydra refuses in the enclosed block, which composes the overrides `words`, as a ConfigError."""
    try:
        yield
    except REFUSALS as error:
        raise ConfigError(explained(error, words) or one_line(error)) from None


def with_added_keys(compose, words, error_of=ConfigCompositionException):
    """Call `compose` with overrides, and return what it returns.

    Hydra refuses a key that is not in the option's file. A key that the class of the option has, with a default, is
    there all the same: it is given again with the + that Hydra asks for.
    """
    words = list(words)
    while True:
        try:
            return compose(words)
        except error_of as error:
            more = _with_plus(error, words)
            if more is None:
                raise
            words = more


def _with_plus(error: BaseException, words: list[str]) -> list[str] | None:
    name, node = _unknown(error)
    if name is None or name.rpartition(".")[2] not in _of_class(name, node, words):
        return None
    more = [f"+{word}" if word.partition("=")[0] == name else word for word in words]
    return more if more != words else None


def _unknown(error: BaseException):
    """The dotted key that Hydra does not find, and the node where it looked; None and None for any other error."""
    cause = error.__cause__
    if not isinstance(error, HydraException) or not isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
        return None, None
    if cause.parent_node is None:
        return None, None
    key = re.search(r"'([^']+)'", str(error))
    return key[1] if key else str(cause.full_key), cause.parent_node


def _of_class(name: str, node, words) -> set[str]:
    """The keys that the class of a node has; none where it names no class that may be imported. name: a key there."""
    if not OmegaConf.is_dict(node) or OmegaConf.is_missing(node, "_target_"):
        return set()
    extensions = [name for word in words if word.lstrip("+").startswith("extensions=") for name in _listed(word)]
    extensions += OmegaConf.to_container(node._get_root()).get("extensions") or []
    place = name.split(".")[:-1]  # a node inside another node may be of any group
    for group in place if len(place) == 1 and place[0] in GROUPS else (*GROUPS, *NESTED, *FOREIGN):
        with contextlib.suppress(ScorelabError):
            return set(fields_of(resolve(group, node.get("_target_"), extensions)))
    return set()


def _listed(word: str) -> list:
    value = None
    with contextlib.suppress(*REFUSALS):
        value = OverridesParser.create().parse_override(word).value()
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def explained(error: BaseException, words) -> str | None:
    """The text for an error that Hydra raised, with the nearest key for an unknown key; None for any other error.

    words: the command line or the overrides.
    """
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        found = (word for word in words if word.partition("=")[0].lstrip("+~") in GROUPS)
        return f"{', '.join(found)}: a group takes the name of one of its options, as in target=mixture"
    if isinstance(error, HydraException) and "add --multirun" in str(error):
        word = next((word for word in words if f"'{word}'" in str(error)), "a value with commas")
        return f"{word}: -m, or scorelab.sweep, sweeps over these values; key=[value,value] is one list"
    if isinstance(error, HydraException) and isinstance(error.__cause__, ValidationError):
        word = next((word for word in words if word.lstrip("+") in str(error)), "")
        return f"{word.replace('=', ' = ', 1)}: {str(error.__cause__).splitlines()[0]}" if word else None
    if isinstance(error, UnicodeDecodeError):
        return f"{_file_of(error)}: is no text in UTF-8 ({error.reason} at byte {error.start})"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        names = {*error.options}
        if group.partition("/")[0] in GROUPS:  # Hydra leaves out the options in folders of the group
            group, _, option = str(error.missing_cfg_file).partition("/")
            names |= {*options(group, [config_folder()])}
        if group:
            return f"{group} = {option}: no such option; {nearest(option, names)}"
    name, node = _unknown(error)
    if name is not None:
        return _unknown_key(name, node, words)
    if isinstance(error, OverrideParseException):
        why = [line for line in str(error).splitlines() if not line.startswith("Error when parsing index")]  # Hydra 1.4
        return f"{error.override}: cannot be read ({why[0]}); quotation marks may help"
    return str(error).strip() if isinstance(error, HydraException) else None


def _unknown_key(name: str, node, words) -> str:
    group, names = name.partition(".")[0], {str(key) for key in node if key not in ("hydra", "_target_")}
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
    if group in GROUPS and name != group:
        default = f"{name}: no key of the default option of {group}"
        if not chosen and any(word.startswith(_EXISTING) for word in words):
            return f"{default}; name the run's own option beside it, as in {group}=NAME {name}=..."
        if any("," in value for value in chosen):  # Hydra composes a sweep once without what is swept
            given = next((word for word in words if word.startswith(f"{name}=")), f"{name}=...")
            return f"{default}; for every option that is swept, ++{given} gives it"
    return f"{name}: unknown key; {nearest(name.rpartition('.')[2], names | _of_class(name, node, words))}"


def _file_of(error: BaseException) -> str:
    """The configuration file that Hydra was reading when it failed."""
    paths = [frame.f_locals.get("full_path") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((str(path) for path in reversed(paths) if path), "a configuration file")
