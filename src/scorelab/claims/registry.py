"""The registry of claims, and the selection of claims by name."""

import importlib
import importlib.util
import pkgutil

from scorelab.claims.claim import REGISTRY, Claim
from scorelab.errors import ConfigError
from scorelab.nodes import load
from scorelab.options import nearest

#: the package whose folders are the subjects
_SUBJECTS = "scorelab.studies"


def every_claim(extensions=()) -> dict[str, Claim]:
    """id -> Claim, sorted by id: the claims of every subject with a module or a folder `claims`, and the claims of the
    packages `extensions`. Raises ConfigError for an extension that cannot be imported."""
    for name in _modules():
        importlib.import_module(name)
    for name in extensions:
        try:
            load(name)
        except ImportError as error:
            raise ConfigError(f"extensions = {name}: cannot be imported ({error})") from None
    return {name: REGISTRY[name] for name in sorted(REGISTRY)}


def _modules():
    """The modules with claims below scorelab.studies."""
    folders = importlib.util.find_spec(_SUBJECTS).submodule_search_locations
    for subject in pkgutil.iter_modules(folders, f"{_SUBJECTS}."):
        name = f"{subject.name}.claims"
        if not subject.ispkg or importlib.util.find_spec(name) is None:
            continue
        yield name
        found = importlib.import_module(name)
        if hasattr(found, "__path__"):
            yield from (module.name for module in pkgutil.iter_modules(found.__path__, f"{name}."))


def select(known: dict[str, Claim], only) -> list[Claim]:
    """The claims that `only` names by id or by seed ("S2"), all claims if `only` is empty. Raises ConfigError for
    an unknown name."""
    seeds = {claim.seed for claim in known.values()}
    for name in only:
        if name not in known and name not in seeds:
            raise ConfigError(f"claims.only = {name}: unknown; {nearest(name, [*seeds, *known])}")
    return [claim for claim in known.values() if not only or claim.id in only or claim.seed in only]
