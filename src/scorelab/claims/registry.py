"""Which claims there are, and which of them are meant."""

import importlib
import pkgutil

from scorelab import claims
from scorelab.claims.claim import REGISTRY, Claim
from scorelab.errors import ConfigError
from scorelab.options import nearest

_NOT_CLAIMS = ("claim", "curves", "registry")


def every_claim(extensions=()) -> dict[str, Claim]:
    """id -> Claim in the order of ids, those that the packages `extensions` declare included."""
    names = [module.name for module in pkgutil.iter_modules(claims.__path__) if module.name not in _NOT_CLAIMS]
    for name in [*(f"{claims.__name__}.{name}" for name in names), *extensions]:
        importlib.import_module(name)
    return {name: REGISTRY[name] for name in sorted(REGISTRY)}


def select(known: dict[str, Claim], only) -> list[Claim]:
    """The claims that `only` names by id or by seed ("S2"), all of them for none. Raises ConfigError for a name that
    there is not."""
    seeds = {claim.seed for claim in known.values()}
    for name in only:
        if name not in known and name not in seeds:
            raise ConfigError(f"claims.only = {name}: unknown; {nearest(name, [*seeds, *known])}")
    return [claim for claim in known.values() if not only or claim.id in only or claim.seed in only]
