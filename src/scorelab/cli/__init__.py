"""The command `scorelab`: each of its commands is a function of a parser and of the words that follow; its
docstring is its help."""

import argparse
import importlib
import os
import sys
from inspect import getdoc

from scorelab.errors import ScorelabError, one_line

#: command -> the module that has it, the words that it takes, what it does
COMMANDS = {
    "run": ("running", "[OVERRIDE ...]", "train, sample, measure and draw; -m sweeps; --help lists the options"),
    "ls": ("finding", "[DIR ...] [EXPRESSION]", "find runs, as 'denoiser.L == 6 and projection.w1 < 0.01'"),
    "diff": ("finding", "A B", "two runs, or the jobs of two sweeps, side by side"),
    "rm": ("finding", "[DIR ...] --failed", "remove runs; it asks first"),
    "gather": ("sweeps", "DIR", "gather the runs below a directory, also of a sweep that still runs"),
    "status": ("sweeps", "[DIR]", "states, progress and remaining time of runs and sweeps"),
    "stop": ("sweeps", "DIR", "interrupt who works there, after a checkpoint"),
    "evaluate": ("checking", "FILE [OVERRIDE ...]", "hold samples of any origin (.npy, .csv) against target=NAME"),
    "conformance": ("checking", "FILE.py[:NAME]", "hold a sampler or a denoiser of anybody against exact answers"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line."""

    def error(self, message):
        self.exit(2, f"error: {message.removeprefix('argument ')}; {self.prog} --help says more\n")


def main():
    """Do what the command line says."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(_overview())
        return
    if command not in COMMANDS:
        print(f"error: {command}: allowed are {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    function = getattr(importlib.import_module(f"scorelab.cli.{COMMANDS[command][0]}"), command)
    kind = argparse.RawDescriptionHelpFormatter
    accepted = _Parser(f"scorelab {command}", description=getdoc(function), formatter_class=kind)
    try:
        function(accepted, rest)
    except BrokenPipeError:  # whoever read the output has had enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ScorelabError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _overview() -> str:
    usages = {name: f"scorelab {name} {words}" for name, (_, words, _) in COMMANDS.items()}
    width = max(map(len, usages.values()))
    lines = [f"    {usages[name]:{width}}  {meaning}" for name, (_, _, meaning) in COMMANDS.items()]
    return "\n".join(["The laboratory for diffusion models.", "", *lines, "", "scorelab COMMAND --help says more."])
