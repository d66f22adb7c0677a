"""Studies: a study says what a run does. Each subject has a folder; the default study is `generate`.

`scorelab.studies.TwoStage` is the class `TwoStage` of the folder `two_stage`: folders are found by name, and nothing
lists the folders.
"""

import importlib
import importlib.util
import re

from scorelab.studies.base import Number, Study, Table, draw, draw_figures

__all__ = ["Number", "Study", "Table", "draw", "draw_figures"]


def __getattr__(name):
    folder = f"{__name__}.{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}"
    if name[:1].isupper() and importlib.util.find_spec(folder) is not None:
        return getattr(importlib.import_module(folder), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
