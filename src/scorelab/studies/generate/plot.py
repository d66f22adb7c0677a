"""Stage `plot`: figures/*, each from the arrays beside it."""

import io

from scorelab.figures import draw
from scorelab.files import write_bytes


def run(study, context):
    """Draw every figure whose arrays are there."""
    figures = context.config.general.figures
    for name, arrays in context.all_arrays().items():
        figure = draw(name, arrays)
        for extension in figures.formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=extension, dpi=figures.dpi)
            write_bytes(context.run / "figures" / f"{name}.{extension}", buffer.getvalue())
