"""The arrays of the figure `claim`: panels of curves."""

import numpy


def panel(title, x, lines, *, xlabel, ylabel, errors=None, dashed=None, xscale="linear", yscale="linear") -> dict:
    """One panel: curves over x (points,).

    lines: label -> measured values (points,). dashed: label -> values (points,) that they are held against. errors:
    label of a line -> standard errors (points,), drawn twice as long.
    """
    texts = {"title": title, "xlabel": xlabel, "ylabel": ylabel, "xscale": xscale, "yscale": yscale}
    curves = {f"line.{label}": values for label, values in lines.items()}
    curves |= {f"dashed.{label}": values for label, values in (dashed or {}).items()}
    curves |= {f"error.{label}": values for label, values in (errors or {}).items()}
    return {"x": numpy.asarray(x), **texts, **{name: numpy.asarray(values) for name, values in curves.items()}}


def panels(*several) -> dict:
    """Panels beside each other, as `Evidence.figures` takes them for the figure `claim`."""
    return {f"{number}.{key}": value for number, one in enumerate(several) for key, value in one.items()}
