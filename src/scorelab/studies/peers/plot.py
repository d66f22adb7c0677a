"""Stage `plot`: the figure and peers.md, which are also copied to the folder study.docs."""

import json
from pathlib import Path

from scorelab.files import inside, make_folder, write_bytes, write_text
from scorelab.studies.peers.page import page


def run(study, context):
    """Draw and write everything."""
    context.draw_figures()
    metrics = json.loads((context.run / "metrics.json").read_text())
    printed = json.loads((context.run / "reproductions.json").read_text())
    picture = next(iter(sorted((context.run / "figures").glob("peers*.png"))), None)
    write_text(context.run / "peers.md", page(study, metrics, printed, f"figures/{picture.name}" if picture else None))
    if study.docs is not None:
        folder = Path(study.docs)
        make_folder(inside(folder, "images"))
        if picture is not None:
            write_bytes(inside(folder, "images/peers.png"), picture.read_bytes())
        write_text(folder / "peers.md", page(study, metrics, printed, "images/peers.png" if picture else None))
