"""Disturb scorelab for a while, and check that it keeps what docs/reliability.md promises.

python scripts/soak.py kill --count N [--seed S] [--launcher NAME | --kinds run stage basic ...] [--workers] [--bare]
python scripts/soak.py trouble --count N [--seed S] [--troubles full read_only clock twice] [--bare]
python scripts/soak.py fuzz --count N [--seed S]

`kill` starts small runs and sweeps in a scratch directory, kills the process at a random moment and resumes. It prints
a row for each and ends with status 1 if something that was finished is lost, if a number differs in one bit from those
of a process that nobody disturbs, if something half-written is read as a result, or if a file or a process is left.

`trouble` does the same with a disk that is full or read-only, with a clock that jumps, and with two that go on at once.
It needs the command unshare, and mounts what nobody else sees.

`fuzz` changes values of configurations at random; each has to be refused in one line, or to run to finite numbers or to
one line.
"""

import argparse
import sys
from pathlib import Path

from soak_fuzz import fuzz
from soak_kill import KINDS, LAUNCHERS, SIGNALS, USUAL, kill
from soak_trouble import TROUBLES, trouble


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    killing = commands.add_parser("kill", help="kill processes at random moments, then resume")
    killing.add_argument("--count", type=int, default=10, help="processes to kill")
    killing.add_argument("--seed", type=int, default=0, help="of the moments and the signals")
    killing.add_argument("--kinds", nargs="+", choices=KINDS, default=USUAL, help="what is killed, in turn")
    killing.add_argument("--launcher", choices=LAUNCHERS, help="sweeps under this launcher alone")
    killing.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS, help="drawn for each")
    killing.add_argument("--workers", action="store_true", help="kill a process that the sweep started, by SIGKILL")
    killing.set_defaults(call=kill)
    troubling = commands.add_parser("trouble", help="full and read-only disks, clocks that jump, two at once")
    troubling.add_argument("--count", type=int, default=12, help="processes")
    troubling.add_argument("--seed", type=int, default=0, help="of the moments and of the sizes")
    troubling.add_argument("--kinds", nargs="+", choices=KINDS, default=["run", "basic", "joblib"], help="in turn")
    troubling.add_argument("--troubles", nargs="+", choices=TROUBLES, default=[*TROUBLES], help="in turn")
    troubling.set_defaults(call=trouble)
    for each in (killing, troubling):
        each.add_argument("--where", type=Path, help="folder for the scratch directory")
        each.add_argument("--bare", action="store_true", help="sweeps that draw no pictures, in half of the time")
    fuzzing = commands.add_parser("fuzz", help="check odd configurations, and run those that are accepted and small")
    fuzzing.add_argument("--count", type=int, default=100, help="configurations")
    fuzzing.add_argument("--seed", type=int, default=0, help="of the configurations")
    fuzzing.set_defaults(call=fuzz)
    options = parser.parse_args()
    return min(options.call(options), 1)


if __name__ == "__main__":
    sys.exit(main())
