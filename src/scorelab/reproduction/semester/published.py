"""What the semester paper and its published code chose, for the presets in conf/experiment.

Visconti 2025, sections 7.2 and 7.7; the code is the public repository
edotarci/GMMs-and-stochastic-localisation.
"""

from scorelab.errors import ConfigError

#: setting -> the keys that the text gives for it
SETTINGS = {
    1: {"N": 5000, "epochs": 500, "L": 3, "m": 256},
    2: {"N": 20000, "epochs": 500, "L": 3, "m": 256},
    3: {"N": 20000, "epochs": 2000, "L": 3, "m": 256},
    4: {"N": 20000, "epochs": 2000, "L": 6, "m": 512},
}
#: keys that do not depend on the setting: t at which phases switch, clean samples of the posterior-mean figures
COMMON = {"switch": 1.0, "posterior_mean_data": "target"}
#: where the published code differs: its setting 4 has the default network, and is setting 3 with another seed
AUTHOR = {"switch": 2.0, "posterior_mean_data": "samples"}
AUTHOR_SETTINGS = {4: {"L": 3, "m": 256}}


def published(key: str, setting, protocol: str):
    """The value of a key in one of the four settings: the value of the text, or of the published code under the
    protocol `author`.

    Raises ConfigError for an unknown setting.
    """
    if setting not in SETTINGS:
        raise ConfigError(f"setting = {setting}: allowed are {', '.join(map(str, SETTINGS))}")
    values = COMMON | SETTINGS[setting]
    if protocol == "author":
        values |= AUTHOR | AUTHOR_SETTINGS.get(setting, {})
    return values[key]
