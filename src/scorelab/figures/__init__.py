"""Figures: one function a figure, arrays in, matplotlib Figure out."""

import importlib

#: figures that a run draws, by the name of their file; each is a module here with a function `figure(arrays)`
NAMES = (
    "projection",
    "posterior_mean",
    "errors",
    "training",
    "trajectories",
    "laws",
    "langevin",
    "sampler_accuracy",
    "conditional_mean",
    "two_stage",
    "collapse",
    "discretization",
    "learning",
    "learning_regimes",
    "learning_modes",
    "claim",
)


def draw(name: str, arrays: dict):
    """Draw the figure `name` from its arrays, in the style of the house; `claim-S2-03` is a `claim`."""
    from scorelab.figures.style import house_style

    with house_style():
        return importlib.import_module(f"scorelab.figures.{name.partition('-')[0]}").figure(arrays)
