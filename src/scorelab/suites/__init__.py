"""Suites: named targets with exact answers, each version fixed for good, on which papers can be compared."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"named": ["Entry", "Suite", "suite"], "numbers": ["Reference"], "scores": ["Scores"]}
)
