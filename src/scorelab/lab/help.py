"""The text of --help, from the comments of the option files: `conf/GROUP/OPTION.yaml` and those of the user's folders.

Without an option the text is an overview: each group with its options, a line for each, and the general keys. With
options, as in `python run.py target=images --help`, it is these options and each of their keys.
"""

import re
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from scorelab.errors import printable
from scorelab.files import first_comment

#: the folder of presets, which stands last, and that of launchers, which is one of Hydra's groups
_PRESETS, LAUNCHERS = "experiment", "hydra/launcher"
_MORE_HELP = "The keys of options, each with its value and meaning: python run.py target=images training=fast --help"
#: where the second column begins at the latest
_COLUMN = 40
_KEY = re.compile(r"( *)(?:- )?['\"]?([A-Za-z_]\w*)['\"]?:(?: (.*?))??(?: *(?<!\S)# ?(.*))?")
_MORE = re.compile(r" +# *(.*)")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z`])")


@dataclass(frozen=True)
class OptionFile:
    """What an option file says of itself: the text of its first comment, without the commands that it shows.

    at_root: whether its keys stand at the root of the configuration, not below the option's group.
    """

    path: Path
    text: str
    at_root: bool

    @classmethod
    def read(cls, path: Path) -> "OptionFile":
        """Read the first comment of a file."""
        told = first_comment(path)
        at_root = any(line.strip() == "@package _global_" for line in told)
        kept = (line.strip() for line in told if not line.startswith((" @package", "  ")))
        return cls(path, " ".join(kept), at_root)

    @property
    def meaning(self) -> str:
        """The first sentence."""
        return _END_OF_SENTENCE.split(self.text)[0]

    def keys(self, folders: Iterable[Path] = ()) -> dict[str, tuple[str, str]]:
        """Dotted key -> its value as the file has it, and its comment.

        The keys of the options of the group that the file begins with stand before its own; a value that changes
        without a comment keeps the comment that it had there. folders: where those options may be, beside the folder
        of this one.
        """
        listed = (yaml.safe_load(self.path.read_text(encoding="utf-8")) or {}).get("defaults") or []
        names = [name for name in listed if isinstance(name, str) and name.isidentifier() and name != "_self_"]
        places = [self.path.parent, *(Path(folder, self.path.parent.name) for folder in folders)]
        before = {}
        for name in names:
            bases = (place / f"{name}.yaml" for place in places)
            base = next((base for base in bases if base.is_file() and base != self.path), None)
            before |= OptionFile.read(base).keys(folders) if base else {}
        own = _keys(_lines(self.path))
        return before | {key: (value, told or before.get(key, ("", ""))[1]) for key, (value, told) in own.items()}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _keys(lines) -> dict[str, tuple[str, str]]:
    """Dotted key -> its value and the comment beside it and below it, each "" where there is none."""
    found, above = {}, []
    last = None
    for line in lines:
        more = _MORE.fullmatch(line)
        if more and last:
            found[last] = found[last][0], f"{found[last][1]} {more[1]}".strip()
            continue
        key, last = _KEY.fullmatch(line), None
        if key is None or line.lstrip().startswith("- "):
            continue
        indent, name, value, comment = key.groups()
        above = [(depth, other) for depth, other in above if depth < len(indent)]
        last = ".".join([*(other for _, other in above), name])
        above.append((len(indent), name))
        if last.split(".")[0] not in ("defaults", "hydra") and name != "_target_":
            found[last] = value or "", comment or ""
        else:
            last = None
    return found


def options(group: str, folders: Iterable[Path]) -> dict[str, Path]:
    """The options of a group and their files, in the order of their names; those of a folder, as v1/ring, are last.
    The folders of presets have no options, but parts of them."""
    places, below = [Path(folder, group) for folder in folders], "*.yaml" if group == _PRESETS else "**/*.yaml"
    paths = ((path.relative_to(place).with_suffix(""), path) for place in places for path in place.glob(below))
    found = {name.as_posix(): path for name, path in reversed([*paths])}
    return dict(sorted(found.items(), key=lambda option: ("/" in option[0], option)))


def groups(folders: Iterable[Path]) -> list[str]:
    """The groups that have options, in the order of the alphabet, launchers and presets last."""
    folders = [*folders]
    found = {path.parent.name for folder in folders for path in Path(folder).glob("*/*.yaml")}
    found |= {LAUNCHERS} if options(LAUNCHERS, folders) else set()
    return sorted(found, key=lambda name: (name == _PRESETS, name == LAUNCHERS, name))


# The text. ----------------------------------------------------------------------------------------------------------


def help_text(*, _root_) -> str:
    """The resolver `help` of conf/config.yaml: the overview, or the options that the command line names."""
    of_hydra = _root_.hydra
    folders = [Path(source.path) for source in of_hydra.runtime.config_sources if source.schema == "file"]
    given = [*of_hydra.overrides.task, *of_hydra.overrides.hydra]
    words = [word.lstrip("+~").partition("=")[0] for word in given]
    named = {*words, *(word.partition(".")[0] for word in words)}
    values = OmegaConf.masked_copy(_root_, [key for key in _root_ if key != "hydra"])
    launcher = OmegaConf.create({"hydra": {"launcher": OmegaConf.to_container(of_hydra.launcher)}})
    found = {}  # one option stands once, with the shortest key that chose it
    for key, name in sorted(of_hydra.runtime.choices.items(), key=lambda choice: len(choice[0])):
        group, _, package = key.partition("@")
        root = package.removeprefix("_global_.").partition(".")[0] or group
        path = options(group, folders).get(name) if {key, root} & named else None
        if path is not None:
            values_of = launcher if group == LAUNCHERS else values
            found.setdefault((group, name), [*_option(key, name, path, values_of, folders), ""])
    lines = [line for option in found.values() for line in option]
    lines = lines or [of_hydra.help.header, *_overview(folders, of_hydra.runtime.choices, values)]
    return "\n".join(lines).replace("$", "$$")  # Hydra puts the text through string.Template


def _overview(folders, choices, values) -> list[str]:
    lines = []
    for group in groups(folders):
        sign = "+" if group == _PRESETS else ""
        lines += [f"== {sign}{group}=NAME", *_rows(_meanings(group, folders, choices)), ""]
    root = [folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()]
    for path in root[:1]:
        lines += ["== General keys, each with its value", *_rows(_values(OptionFile.read(path).keys(), "", values)), ""]
    return ["What is chosen without a word is marked *.", "", *lines, _MORE_HELP]


def _meanings(group, folders, choices):
    default = {name for key, name in choices.items() if key.partition("@")[0] == group}
    for name, path in options(group, folders).items():
        meaning = OptionFile.read(path).meaning
        yield f"{name} *" if name in default else name, meaning


def _option(key, name, path, values, folders) -> list[str]:
    group, _, package = key.partition("@")
    option = OptionFile.read(path)
    place = "" if option.at_root else f"{package.removeprefix('_global_.') or group.replace('/', '.')}."
    lines = [f"== {key}={name}", *textwrap.wrap(printable(option.text), _width(), break_on_hyphens=False)]
    return [*lines, *_rows(_values(option.keys(folders), place, values))]


def _values(keys, place, values):
    """Each key with its value, and its comment; a key with keys below it has no value of its own."""
    for key, (_, comment) in keys.items():
        value = OmegaConf.select(values, place + key, throw_on_missing=False, throw_on_resolution_failure=False)
        shown = "" if any(other.startswith(f"{key}.") for other in keys) else _shown(value)
        yield f"{place}{key}={shown}" if shown else f"{place}{key}", comment


def _shown(value) -> str:
    """A value as it is typed; "" for a node that says nothing but its class."""
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if isinstance(plain, dict):
        plain = {key: inner for key, inner in plain.items() if key != "_target_"}
        if not plain:
            return ""
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return printable(text.removesuffix("...\n"))


def _rows(pairs) -> list[str]:
    """Two columns: names, and texts that are wrapped."""
    pairs = [(f"  {printable(name)}", printable(text)) for name, text in pairs]
    column = min(max((len(name) for name, _ in pairs), default=0) + 2, _COLUMN)
    lines = []
    for name, text in pairs:
        if text and len(name) > column - 2:  # too long a name has a line of its own
            lines.append(name)
            name = ""
        wrapped = textwrap.wrap(text, max(_width() - column, 40), break_on_hyphens=False) or [""]
        lines += [(name.ljust(column) + wrapped[0]).rstrip(), *(" " * column + line for line in wrapped[1:])]
    return lines


def _width() -> int:
    return min(shutil.get_terminal_size((120, 24)).columns, 120)
