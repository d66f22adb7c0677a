"""Write report.md and report.html of the runs below a directory: python -m scorelab.reproduction DIR [DOCS].

DOCS is a folder: report.md is written there too, with its pictures.
"""

import sys

from scorelab.errors import ScorelabError
from scorelab.reproduction import write_report

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        print(*write_report(*sys.argv[1:]), sep="\n")
    except ScorelabError as error:
        sys.exit(f"error: {error}")
