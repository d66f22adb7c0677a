"""Deviations, each with its smallest reproduction: the library's own code, in its own loop, in double precision.

A file `reproductions/LIBRARY-NAME.md` has a title, what is claimed and where, whether it is documented, and the code.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

from scorelab.errors import ScorelabError, one_line

FOLDER = Path(__file__).parent / "reproductions"


def texts() -> dict[str, str]:
    """Name -> the Markdown of each reproduction."""
    return {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md"))}


def code(markdown: str) -> str:
    """The Python of a reproduction."""
    return re.search(r"```python\n(.*?)```", markdown, re.DOTALL)[1]


def printed(markdown: str) -> str:
    """What the Python of a reproduction prints, in a process of its own: some change the library that they are about.

    Raises ScorelabError, with the last line of the traceback.
    """
    command = [sys.executable, "-W", "ignore", "-c", code(markdown)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise ScorelabError(one_line((done.stderr.strip().splitlines() or ["no output"])[-1]))
    return done.stdout


def everything(libraries, jobs: int = 1) -> dict[str, str | None]:
    """Name -> what the reproduction prints, for those of some libraries, so many at a time; None where its library is
    not installed."""
    wanted = {name: text for name, text in texts().items() if name.partition("-")[0] in libraries}
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(wanted, pool.map(_said, wanted, wanted.values()), strict=True))


def _said(name, markdown):
    if util.find_spec(name.partition("-")[0]) is None:
        return None
    try:
        return printed(markdown)
    except ScorelabError as error:  # of another version of the library
        return str(error)
