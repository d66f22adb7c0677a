"""`python -m scorelab.cli` is the command `scorelab`."""

from scorelab.cli import main

main()
