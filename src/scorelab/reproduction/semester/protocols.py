"""Where the published code departs from the text, read off the configuration and `published`."""

import yaml

from scorelab.reproduction.semester.published import AUTHOR, AUTHOR_SETTINGS, COMMON, SETTINGS

_MEANING = {
    "switch": "t at which the phases switch",
    "posterior_mean_data": "clean samples of the posterior means",
    "validation": "share of the N samples that validates",
    "validation_batch": "samples a validation pass",
    "keep": "weights that are kept",
}


def differences() -> list[tuple[str, str, str]]:
    """Rows (what, its value under `paper`, its value under `author`) of all that differs."""
    paper, author = _training("paper"), _training("author")
    rows = [(key, paper.get(key), author[key]) for key in author if key != "protocol"]
    rows += [(key, COMMON[key], AUTHOR[key]) for key in AUTHOR]
    rows = [(_MEANING.get(key, key), _shown(text), _shown(code)) for key, text, code in rows if text != code]
    for setting, code in AUTHOR_SETTINGS.items():
        text = {key: SETTINGS[setting][key] for key in code}
        rows.append((f"network of setting {setting}", _listed(text), _listed(code)))
    return rows


def _training(name: str) -> dict:
    """The keys of a file of conf/training and of the files that it builds on."""
    from scorelab.lab.app import config_folder

    values = yaml.safe_load((config_folder() / "training" / f"{name}.yaml").read_text())
    below = [other for other in values.pop("defaults", []) if other != "_self_"]
    return {key: value for other in below for key, value in _training(other).items()} | values


def _shown(value) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _listed(values: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
