"""A style of the user's own, on top of the style of the house: a style file of matplotlib, as text.

A run keeps the text of its style, so that its figures are drawn again without the file. Only keys of the look count:
a style cannot choose what a figure shows, where it is written, or what else matplotlib runs.
"""

from pathlib import Path

from scorelab.errors import ConfigError, one_line
from scorelab.options import nearest, show

#: the keys that count begin like this, without those of `_NOT`. Figures choose their colours and sizes themselves, and
#: text stays text
_LOOK = (
    *("font.", "axes.", "xtick.", "ytick.", "lines.", "legend.", "grid.", "patch.", "hatch.", "mathtext.", "markers."),
    *("scatter.", "errorbar.", "hist.", "contour.", "text.color", "figure.facecolor", "figure.edgecolor"),
    *("figure.title", "figure.label", "savefig.facecolor", "savefig.edgecolor", "savefig.transparent"),
)
_NOT = ("axes.prop_cycle",)
#: the keys of grounds and of what is written on them; a dark ground would hide the exact answers, which are black
_GROUNDS = ("axes.facecolor", "figure.facecolor", "savefig.facecolor", "legend.facecolor")
_WRITTEN = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
_WRITTEN += ("xtick.labelcolor", "ytick.labelcolor", "legend.labelcolor", "legend.edgecolor", "figure.edgecolor")
_LEFT_OUT = "# left out: "
_LONGEST = 2**16


def read(style: str) -> str:
    """The lines `key: value` of a style that count; the first line is a comment that names the keys that do not.

    style: the path of a style file, the name of one of matplotlib's styles, or the lines themselves. Raises ConfigError
    for a file or a style that is not there, an unknown key, and a value that matplotlib refuses.
    """
    try:
        lines = settings(_content(style), strict=True)
    except ValueError as error:
        raise ConfigError(f"figures.style = {show(style)}: {error}") from None
    hidden = (*_GROUNDS, *_WRITTEN) if _is_dark(lines) else ()
    left_out = [key for key in lines if not _counts(key) or key in hidden]
    kept = [f"{key}: {value}\n" for key, value in lines.items() if key not in left_out]
    return "".join([f"{_LEFT_OUT}{', '.join(left_out)}\n" * bool(left_out), *kept]) or "#\n"


def _is_dark(lines: dict[str, str]) -> bool:
    """Whether a ground of the style is dark."""
    from matplotlib.colors import is_color_like, to_rgb

    grounds = [lines[key].strip('"') for key in _GROUNDS if key in lines]
    return any(is_color_like(ground) and sum(to_rgb(ground)) < 1.5 for ground in grounds)


def left_out(text: str) -> str:
    """The keys that a text of `read` leaves out, as its first line names them; empty if there are none."""
    first = text.partition("\n")[0]
    return first.removeprefix(_LEFT_OUT) if first.startswith(_LEFT_OUT) else ""


def settings(text: str, strict: bool = False) -> dict[str, str]:
    """The keys and values, as text, of the lines of a style. strict: whether keys of matplotlib that do not count are
    returned as well; else they are refused. Raises ValueError, which names the line and says what is wrong with it."""
    from matplotlib import RcParams, rcParams

    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = _without_comment(line).strip()
        if not bare:
            continue
        key, colon, value = (part.strip() for part in bare.partition(":"))
        if not colon:
            raise ValueError(f"line {number}, {show(bare)}: lines `key: value` are needed")
        if key not in rcParams:
            raise ValueError(f"line {number}: {show(key)}: unknown key; {_like(key, rcParams)}")
        if not _counts(key):
            if not strict:
                raise ValueError(f"line {number}: {key}: a key that no style of a run has")
        else:
            try:
                RcParams({key: value.strip('"')})
            except (ValueError, TypeError) as error:
                raise ValueError(f"line {number}: {one_line(error)}") from None
        found[key] = value
    return found


def parameters(text: str | None) -> dict:
    """The parameters of matplotlib that a text of `read` sets."""
    return {} if text is None else {key: value.strip('"') for key, value in settings(text).items()}


def _counts(key: str) -> bool:
    return key.startswith(_LOOK) and key not in _NOT


def _like(key, names):
    return (
        nearest(key, [name for name in names if _counts(name)]).partition("valid names")[0].strip() or "see matplotlib"
    )


def _without_comment(line: str) -> str:
    """The line up to a # that does not stand between double quotes."""
    inside = False
    for at, character in enumerate(line):
        inside ^= character == '"'
        if character == "#" and not inside:
            return line[:at]
    return line


def _content(style: str) -> str:
    if "\n" in style or ": " in style:
        return style
    import matplotlib

    places = [Path(style)]
    if "/" not in style:
        folders = (matplotlib.get_configdir(), matplotlib.get_data_path())
        places += [Path(folder, "stylelib", f"{style}.mplstyle") for folder in folders]
    for path in places:
        try:
            if path.is_file():
                with open(path, encoding="utf-8") as file:
                    return file.read(_LONGEST)
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read ({one_line(error)})") from None
    names = sorted(path.stem for path in Path(matplotlib.get_data_path(), "stylelib").glob("[!_]*.mplstyle"))
    raise ValueError(f"no such file, and no style of matplotlib; {nearest(style, names)}")
