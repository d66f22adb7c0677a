"""The report of a reproduction: a directory of runs, read against the figures of a document."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"report": ["write_report"]})
