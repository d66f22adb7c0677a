"""Gather the runs below a directory: python scripts/gather.py DIR. It also works on a running or interrupted sweep."""

import sys
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.lab.gather import gather, print_sweep

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        print_sweep(gather(sys.argv[1]), Path(sys.argv[1]))
    except ScorelabError as error:
        sys.exit(f"error: {error}")
