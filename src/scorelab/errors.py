"""Errors that a user can mend: each is one line that names the key, the value and what is allowed."""


class ScorelabError(Exception):
    """A mistake in the input or the surroundings; shown as one line, without a traceback."""


class ConfigError(ScorelabError):
    """A configuration that cannot be run."""


class TrainingDiverged(ScorelabError):
    """A training loss that is no longer a number."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line; the name of its class precedes it unless it is a ScorelabError."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ScorelabError) else f"{type(error).__name__}: {text}"
