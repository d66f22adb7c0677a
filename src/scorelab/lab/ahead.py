"""What was computed for a run together with other runs of this process, ahead of its own turn.

It is only a short cut: a stage that finds nothing here computes the same itself, to rounding.
"""

from pathlib import Path

_AHEAD: dict[tuple[Path, str], dict] = {}


def keep(run, config, name: str, value):
    """Keep a value for the turn of a run."""
    _AHEAD.setdefault(_key(run, config), {})[name] = value


def take(run, config, name: str):
    """The value that was kept for a run under this configuration, which is handed out once; or None."""
    return _AHEAD.get(_key(run, config), {}).pop(name, None)


def drop(run, config):
    """Forget what is left for a run, at the end of its turn."""
    _AHEAD.pop(_key(run, config), None)


def _key(run, config):
    return run.path.resolve(), config.fingerprint
