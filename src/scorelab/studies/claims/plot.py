"""Stage `plot`: figures/* and claims.md, which are also copied to the folder claims.docs."""

from pathlib import Path

from scorelab.claims.page import page
from scorelab.claims.results import read_results
from scorelab.errors import ScorelabError
from scorelab.files import inside, make_folder, write_bytes, write_text
from scorelab.studies.claims.analyse import unexpected


def run(study, context):
    """Draw and write everything. Then raise ScorelabError if a verdict is not the recorded one."""
    context.draw_figures()
    results = read_results(context.run / "claims.json")
    drawn = sorted((context.run / "figures").glob("[!.]*.png"))
    pictures = {
        result["id"]: [path for path in drawn if path.stem.partition("-")[2] == result["id"]] for result in results
    }
    write_text(context.run / "claims.md", page(results, pictures, "figures", study.quick))
    if study.docs is not None:
        folder = Path(study.docs)
        images = inside(folder, "images/claims")
        make_folder(images)
        for picture in (path for paths in pictures.values() for path in paths):
            write_bytes(inside(images, picture.name), picture.read_bytes())
        write_text(folder / "claims.md", page(results, pictures, "images/claims", study.quick))
    wrong = set(unexpected(results))
    lines = [
        f"{result['id']} {result['verdict']} (recorded: {result['recorded']})"
        + (f": {result['error']}" if "error" in result else "")
        for result in results
        if result["id"] in wrong
    ]
    if wrong:
        raise ScorelabError(f"claims: {'; '.join(lines)}; all numbers are in {context.run / 'claims.md'}")
