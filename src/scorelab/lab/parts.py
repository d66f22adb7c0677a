"""Single parts of a configuration, built as a run builds them."""

from scorelab.errors import ConfigError
from scorelab.lab.app import composing, plain
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
    with composing(overrides) as composed:
        config = check(plain(composed))
    return config["target"].build(generator=stream(config.general.seed, "target"))
