"""Gather the runs below a directory: python scripts/gather.py DIR [EXTENSION ...].

It also works on a running or interrupted sweep. An extension is a package of yours whose study the runs are of; without
its name nothing of it is imported.
"""

import sys
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.lab.gather import gather, print_sweep

if __name__ == "__main__":
    if len(sys.argv) < 2 or any(word.startswith("-") for word in sys.argv[1:]):
        sys.exit(__doc__)
    try:
        print_sweep(gather(sys.argv[1], sys.argv[2:]), Path(sys.argv[1]))
    except ScorelabError as error:
        sys.exit(f"error: {error}")
