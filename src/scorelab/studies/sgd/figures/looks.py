"""How the laws are drawn, in every figure alike."""

from scorelab.figures.style import EXACT, LEARNED, THIRD
from scorelab.studies.sgd.moments import LAWS

_LINES = {"sgd": (EXACT, "-"), "modified": (THIRD, "--"), "second_order": ("#009E73", "-."), "ou": (LEARNED, ":")}
#: law -> name, colour, style of its curves
LOOKS = {law: (name, *_LINES[law]) for law, name in LAWS.items()}
