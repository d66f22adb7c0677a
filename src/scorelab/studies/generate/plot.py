"""Stage `plot`: figures/*, each from the arrays beside it."""

import importlib
import io

import numpy

from scorelab.files import remove, write_bytes

#: animation -> the figure whose arrays it is drawn from, and the array without which it is not drawn
_MOVING = {"trajectories": ("trajectories", "projection"), "plane": ("flow", "frame_density")}


def run(study, context):
    """Draw every figure whose arrays are there."""
    context.draw_figures()
    every = context.all_arrays()
    for name, (figure, needed) in _MOVING.items():
        path = context.run / "figures" / f"{name}.gif"
        remove(path)  # an earlier run of this stage may have left it
        if study.animation and needed in every.get(figure, ()):
            _animate(
                importlib.import_module(f"{__package__}.figures.{figure}"),
                every[figure],
                path,
                context.config.general.figures.style,
            )


def _animate(module, arrays, path, style):
    """Write the animation of a figure as a GIF. All frames have one palette, so that only the changes are stored."""
    from PIL import Image

    from scorelab.figures.style import house_style

    with house_style(style):
        frames = list(module.animation(arrays))
    colours = Image.new("P", (1, 1))
    colours.putpalette(_palette(frames[-1]))
    pictures = [Image.fromarray(frame).quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    for picture in pictures:
        picture.putpalette([value | value >> 6 for value in colours.getpalette()])  # from 6 bits to 8: white is 255
    durations = [round(1000 / module.RATE)] * (len(frames) - 1) + [round(1000 * module.STILL)]
    content = io.BytesIO()
    pictures[0].save(content, "gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    write_bytes(path, content.getvalue())


def _palette(picture) -> list[int]:
    """64 greys and the 192 colours that fit a picture (height, width, 3) best. Each grey is a multiple of 4, because
    Pillow looks colours up to 6 bits."""
    from PIL import Image

    greys = numpy.arange(0, 256, 4).repeat(3)
    coloured = picture[numpy.ptp(picture, axis=2) > 8]
    return [*greys.tolist(), *Image.fromarray(coloured[numpy.newaxis]).quantize(192).getpalette()]
