"""The figures: `descent`, as the thesis draws runs of SGD, and `models`, how far its equations are from it."""
