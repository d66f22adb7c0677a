"""Single parts of a configuration, built as a run builds them."""

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scorelab.errors import ConfigError, one_line
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.randomness import stream


def target_of(overrides):
    """The target that overrides choose, such as `target=mixture`, as in a run with the same `seed`.

    Raises ConfigError for overrides that cannot be read.
    """
    overrides = [str(override) for override in overrides]
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key != "target" and not key.startswith(("target.", "target@")):
            raise ConfigError(f"{override}: only the target and its keys can be chosen here")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("config", overrides=overrides)
        config = check(plain(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from None
    return config["target"].build(generator=stream(config.general.seed, "target"))
