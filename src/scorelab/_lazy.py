"""Package exports that are imported at their first use (PEP 562).

Importing torch takes longer than everything else a dry run or `--help` does, so the packages name their classes
without importing the modules that need torch.
"""

import importlib
from collections.abc import Mapping, Sequence


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]):
    """Return `(__getattr__, __dir__, __all__)` for a package that exports `names` from its submodule `module`."""
    home = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return __getattr__, lambda: sorted(home), sorted(home)
