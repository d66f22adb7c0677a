"""Stage `plot`: figures/*, each from the arrays beside it."""

from scorelab.figures import draw
from scorelab.figures.files import save_figure


def run(study, context):
    """Draw every figure whose arrays are there."""
    wanted = context.config.general.figures
    for name, arrays in context.all_arrays().items():
        figure = draw(name, arrays)
        for extension in wanted.formats:
            save_figure(figure, context.run / "figures" / f"{name}.{extension}", wanted.dpi)
