"""Stage `plot`: figures/*, each from the arrays beside it."""

import io

import numpy

from scorelab.files import remove, write_bytes


def run(study, context):
    """Draw every figure whose arrays are there."""
    context.draw_figures()
    every = context.all_arrays()
    moving = context.run / "figures" / "trajectories.gif"
    remove(moving)  # an earlier run of this stage may have left it
    if study.animation and "trajectories" in every:
        _animate(every["trajectories"], moving)


def _animate(arrays, path):
    """Write the animated trajectories as a GIF. All frames have one palette, so that only the changes are stored."""
    from PIL import Image

    from scorelab.figures.style import house_style
    from scorelab.studies.generate.figures.trajectories import RATE, STILL, animation

    with house_style():
        frames = list(animation(arrays))
    colours = Image.new("P", (1, 1))
    colours.putpalette(_palette(frames[-1]))
    pictures = [Image.fromarray(frame).quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    for picture in pictures:
        picture.putpalette([value | value >> 6 for value in colours.getpalette()])  # from 6 bits to 8: white is 255
    durations = [round(1000 / RATE)] * (len(frames) - 1) + [round(1000 * STILL)]
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
