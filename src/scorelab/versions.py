"""What numbers depend on beside the code."""

import platform


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    import hydra
    import numpy
    import torch

    import scorelab

    modules = {"scorelab": scorelab, "torch": torch, "numpy": numpy, "hydra": hydra}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}
