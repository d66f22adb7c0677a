"""The command `scorelab`.

    scorelab run [OVERRIDE ...]          train, sample, measure and draw; -m sweeps; --help lists the options, and
                                         target=mixture --help the keys of an option
    scorelab ls [DIR ...] [EXPRESSION]   find runs, as 'denoiser.L == 6 and projection.w1 < 0.01'
    scorelab gather DIR                  gather the runs below a directory, also of a sweep that still runs
    scorelab evaluate FILE [OVERRIDE ...]
                                         hold samples of any origin (.npy, .csv) against target=NAME

`scorelab COMMAND --help` says more.
"""

import argparse
import os
import sys
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.files import require_folder

_LS = """List runs: a row for each run at any depth below the directories.

By default the columns are the directory, below the folder that all runs lie in, the state, the parameters that were
asked for and are not the same for all, the main numbers of the studies, and the error. On a terminal what has no room
is cut, or left out and named. An expression picks runs. Its names, and those of --columns, are those of the pandas
table of scorelab.runs: directory, state, time, error, asked (the overrides), the names of the chosen classes (target,
...), every key of the configuration, as training.N, and every number of metrics.json, as projection.w1 or
metrics.projection.w1. How the runs were is kept in a file of the user's cache (~/.cache/scorelab), and a run is read
again where its files have changed.

    scorelab ls outputs 'denoiser.L == 6 and projection.w1 < 0.01'
    scorelab ls outputs --columns directory,training.N,path_kl.total"""
_GATHER = """Write sweep.csv, sweep.md and the figures of the runs below a directory, also of a sweep that still runs.

    scorelab gather outputs/2026-11-27/12-00-00-sweep"""
_EVALUATE = """Hold samples against a target: every number beside what exact samples have.

The exit status is 0 if nothing tells the samples from exact ones, and 3 if something does.

    scorelab evaluate samples.npy target=mixture target.n=8 --out evaluated"""


def main():
    """Do what the command line says."""
    command, *rest = sys.argv[1:] or ["--help"]
    known = {"run": _run, "ls": _ls, "gather": _gather, "evaluate": _evaluate}
    if command not in known:
        told = command in ("-h", "--help")
        print(__doc__.strip() if told else f"error: {command}: allowed are {', '.join(known)}", file=sys.stderr)
        sys.exit(0 if told else 2)
    try:
        known[command](rest)
    except (ScorelabError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")


def _parser(name: str, text: str):
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"scorelab {name}", description=text, formatter_class=kind)


def _run(words):
    import hydra

    from scorelab.lab import app

    sys.argv = ["scorelab run", *words]
    app.main(hydra.main(version_base="1.3", config_path=str(app.config_folder()), config_name="config")(app.job))


def _ls(words):
    from scorelab.lab.listing import listing

    parser = _parser("ls", _LS)
    parser.add_argument("directories", nargs="*", metavar="DIR", help="where runs are looked for; by default outputs")
    parser.add_argument("--where", metavar="EXPRESSION", help="an expression of columns that a run has to satisfy")
    parser.add_argument("--columns", metavar="NAMES", help="columns, with commas between them; 'all' for every one")
    parser.add_argument("--csv", metavar="FILE", help="write every column, or those of --columns, to a file instead")
    chosen = parser.parse_args(words)
    found, numbers = _picked(chosen.directories, [chosen.where])
    names = None if chosen.columns is None else [name.strip() for name in chosen.columns.split(",")]
    names = found.every if names == ["all"] or (chosen.csv is not None and names is None) else names
    if chosen.csv is not None:
        names = [found.named(name, "--columns") for name in names]
        found.table(names).iloc[numbers].to_csv(chosen.csv, index=False)
    else:
        print(listing(found, numbers, names))


def _picked(words, conditions=()):
    """The runs below some directories, and the numbers of those for which the expressions among the words are true, and
    other conditions."""
    from scorelab.lab.finding import Found, is_expression

    expressions = [word for word in words if not os.path.exists(word) and is_expression(word)]
    found = Found(word for word in words if word not in expressions)
    numbers = range(found.count)
    for where in filter(None, (*expressions, *conditions)):
        true = {*found.numbers(where)}
        numbers = [number for number in numbers if number in true]
    return found, list(numbers)


def _gather(words):
    from scorelab.lab.gather import gather, print_sweep

    parser = _parser("gather", _GATHER)
    parser.add_argument("directory", metavar="DIR", help="a directory with runs, as of a sweep; the files go there")
    parser.add_argument("extensions", nargs="*", help="packages of your own whose studies the runs are of")
    chosen = parser.parse_args(words)
    print_sweep(gather(chosen.directory, chosen.extensions), Path(chosen.directory))


def _evaluate(words):
    from scorelab.evaluation import evaluate

    parser = _parser("evaluate", _EVALUATE)
    parser.add_argument("samples", metavar="FILE", help=".npy or .csv, one sample a row")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="of the target, as target=mixture target.n=8")
    parser.add_argument("--out", metavar="DIR", help="write evaluation.json and evaluation.png there")
    parser.add_argument("--seed", type=int, default=0, help="of the exact samples, >= 0; by default 0")
    parser.add_argument(
        "--repeats", type=int, default=200, help="sets behind a floor or a standard error; by default 200"
    )
    chosen = parser.parse_args(words)
    if chosen.out is not None:
        require_folder(chosen.out)
    found = evaluate(chosen.samples, chosen.overrides, seed=chosen.seed, repeats=chosen.repeats)
    print(found)
    if chosen.out is not None:
        found.save(chosen.out)
    sys.exit(0 if found.passed else 3)


if __name__ == "__main__":
    main()
