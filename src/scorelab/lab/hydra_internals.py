"""What scorelab takes from inside Hydra, where no public way leads to it, and what differs between its versions.

Versions 1.3.8 and 1.4 both have what stands here; a new version of Hydra is tried with `make test-hydra14`.
"""

import copy
import inspect
import warnings
from collections.abc import Callable

import hydra

# `HydraContext`, which is public, needs one; `scorelab.sweep` makes it as Hydra's command line does.
from hydra._internal.callbacks import Callbacks

# Hydra reads files by its repository, which no setting replaces.
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

#: what `hydra.main` and `hydra.initialize` are told of the version: 1.3 asks for it, 1.4 warns of it
BASE = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}

# Hydra 1.4 warns where no list names every class that callbacks and logging may use. The node `hydra` is the
# user's own, as docs/security.md says, and what Hydra refuses without such a list it still refuses.
for _message in (r"hydra\.utils\.instantiate\(\) resolved _target_=", "Hydra configured Python logging without"):
    warnings.filterwarnings("ignore", message=_message)


class _ReadOnce(CachingConfigRepository):
    """Configuration files as they were when they were first read.

    Hydra copies its repository for each composition and changes what it loads. Here all compositions share one cache,
    and each load returns a copy.
    """

    def __deepcopy__(self, memo):
        return self

    def load_config(self, config_path):
        return copy.deepcopy(super().load_config(config_path))


def read_once(config_loader) -> None:
    """Let a loader of Hydra read each configuration file once, however many configurations it composes."""
    if not isinstance(config_loader.repository, _ReadOnce):
        config_loader.repository = _ReadOnce(config_loader.repository)


def register_resolver(name: str, resolver: Callable) -> None:
    """Register a resolver of interpolations, in the place of one of the same name."""
    # OmegaConf 2.4 warns of the name that 2.3 has; 2.3 has the name of 2.4 too, for a function that replaces nothing.
    today = OmegaConf.register_resolver
    register = today if "replace" in inspect.signature(today).parameters else OmegaConf.register_new_resolver
    register(name, resolver, replace=True)


def store(group: str, name: str, node: dict) -> None:
    """Offer an option of one of Hydra's own groups, in the place of one of the same name."""
    offer = ConfigStore.instance().store
    again = {"replace": True} if "replace" in inspect.signature(offer).parameters else {}  # Hydra 1.4 asks for it
    offer(group=group, name=name, node=node, provider="scorelab", **again)


__all__ = ["BASE", "Callbacks", "read_once", "register_resolver", "store"]
