"""Commands that find runs, compare them and remove them."""

import os
import sys
from pathlib import Path

from scorelab.errors import ScorelabError, one_line, printable


def ls(accepted, words):
    """List runs: a row for each run at any depth below the directories.

    By default the columns are the directory, below the folder that all runs lie in, the state, the parameters that
    were asked for and are not the same for all, the main numbers of the studies, and the error. On a terminal what
    has no room is cut, or left out and named. An expression picks runs. Its names, and those of --columns, are
    those of the pandas table of scorelab.runs: directory, state, time, error, asked (the overrides), the names of
    the chosen classes (target, ...), every key of the configuration, as training.N, and every number of
    metrics.json, as projection.w1 or metrics.projection.w1. How the runs were is kept in a file of the user's cache
    (~/.cache/scorelab), and a run is read again where its files have changed.

        scorelab ls outputs 'denoiser.L == 6 and projection.w1 < 0.01'
        scorelab ls outputs --columns directory,training.N,path_kl.total
    """
    from scorelab.lab.listing import listing

    accepted.add_argument("directories", nargs="*", metavar="DIR", help="where runs are looked for; by default outputs")
    accepted.add_argument("--where", metavar="EXPRESSION", help="an expression of columns that a run has to satisfy")
    accepted.add_argument("--columns", metavar="NAMES", help="columns, with commas between them; 'all' for every one")
    accepted.add_argument("--csv", metavar="FILE", help="write every column, or those of --columns, to a file instead")
    chosen = accepted.parse_args(words)
    found, numbers = _picked(chosen.directories, [chosen.where])
    names = None if chosen.columns is None else [name.strip() for name in chosen.columns.split(",")]
    names = found.every if names == ["all"] or (chosen.csv is not None and names is None) else names
    if chosen.csv is not None:
        names = [found.named(name, "--columns") for name in names]
        found.table(names).iloc[numbers].to_csv(chosen.csv, index=False)
    else:
        print(listing(found, numbers, names))


def diff(accepted, words):
    """Hold two runs, or the jobs of the same number of two sweeps, side by side.

    Shown are the overrides, the keys of the configuration and the versions that differ, and the numbers of
    metrics.json, with their difference b - a and its standard error, that of independent runs, where both have one.
    A number is undecided up to four of these errors. Of a list the number that is farthest apart is shown, of
    sweeps how many differ.

    The exit status is 0 if nothing differs but times, to the last bit, and 3 if something does.

        scorelab diff outputs/2026-11-27/12-00-00 outputs/2026-11-27/12-05-00-seed
    """
    from scorelab.lab.comparing import diff, same, text

    accepted.add_argument("a", metavar="A", help="a run, or a directory of runs, as of a sweep")
    accepted.add_argument("b", metavar="B", help="another one")
    accepted.add_argument("--all", action="store_true", help="show every number, also those that are equal")
    accepted.add_argument("--csv", metavar="FILE", help="write the whole table to a file instead")
    chosen = accepted.parse_args(words)
    table = diff(chosen.a, chosen.b)
    if chosen.csv is not None:
        table.to_csv(chosen.csv, index=False)
    else:
        print(text(table, (chosen.a, chosen.b), chosen.all))
    sys.exit(0 if same(table) else 3)


def rm(accepted, words):
    """Remove runs. It lists what would go, with sizes, and asks first.

    A run that a process works at stays, and so do the jobs of a sweep that runs, what cannot be read, and what is
    no run directory. A link is removed, and nothing behind it. The jobs that a sweep has left keep their numbers;
    scorelab gather DIR writes its tables anew.

    The exit status is 2 if nobody can be asked and --yes is not given, and 1 if it could not remove everything.

        scorelab rm outputs --failed
        scorelab rm outputs --where 'training.N == 100 and denoiser.L < 3'
    """
    from scorelab.lab.removing import removable, remove, remove_leftovers

    accepted.add_argument("directories", nargs="*", metavar="DIR", help="where runs are looked for; by default outputs")
    accepted.add_argument("--failed", action="store_true", help="runs that failed")
    accepted.add_argument(
        "--interrupted", action="store_true", help="runs that were interrupted, or whose process is gone"
    )
    accepted.add_argument(
        "--where", metavar="EXPRESSION", help="runs of which an expression is true, as for scorelab ls"
    )
    accepted.add_argument("--yes", action="store_true", help="remove without asking")
    chosen = accepted.parse_args(words)
    states = [state for state in ("failed", "interrupted") if getattr(chosen, state)]
    if not states and chosen.where is None and not any(map(_is_condition, chosen.directories)):
        accepted.error("--failed, --interrupted, or an expression is needed: which runs shall go")
    found, numbers = _picked(chosen.directories, [chosen.where])
    runs = [(Path(found["directory"][n]), found["state"][n]) for n in numbers]
    runs = [(path, state) for path, state in runs if not states or state in states]
    going, staying = _tried(lambda run: removable(*run), runs)
    for run in going:
        print(printable(f"{run.state:12s} {run.size / 1e6:8.1f} MB  {run.path}"))
    print(*staying, sep="\n", end="\n" if staying else "", file=sys.stderr)
    total = f"{len(going)} run{'s' if len(going) != 1 else ''}, {sum(run.size for run in going) / 1e6:.1f} MB"
    if not going:
        print("no run to remove")
        sys.exit(1 if staying else 0)
    if not chosen.yes:
        if not sys.stdin.isatty():
            print(f"error: {total}: nobody can be asked here; --yes removes without asking", file=sys.stderr)
            sys.exit(2)
        if input(f"remove {total}? [y/N] ").strip().lower() not in ("y", "yes"):
            sys.exit("nothing was removed")
    remove_leftovers({path.parent for path, _ in runs})
    _, left = _tried(remove, going)
    print(*left, sep="\n", end="\n" if left else "", file=sys.stderr)
    print(f"{len(going) - len(left)} removed")
    for sweep in dict.fromkeys(run.path.parent for run in going if (run.path.parent / "sweep.csv").is_file()):
        print(printable(f"{sweep}: scorelab gather writes its tables anew"))
    sys.exit(1 if left or staying else 0)


def _is_condition(word: str) -> bool:
    """Whether a word is an expression, and no directory."""
    from scorelab.lab.finding import is_expression

    return not os.path.exists(word) and is_expression(word)


def _picked(words, conditions=()):
    """The runs below some directories, and the numbers of those for which the expressions among the words are true, and
    other conditions."""
    from scorelab.lab.finding import Found

    expressions = [word for word in words if _is_condition(word)]
    found = Found(word for word in words if word not in expressions)
    numbers = range(found.count)
    for where in filter(None, (*expressions, *conditions)):
        true = {*found.numbers(where)}
        numbers = [number for number in numbers if number in true]
    return found, list(numbers)


def _tried(function, things) -> tuple[list, list[str]]:
    """What a function returns of each thing, and the lines of those for which it raises ScorelabError."""
    done, refused = [], []
    for thing in things:
        try:
            done.append(function(thing))
        except ScorelabError as error:
            refused.append(one_line(error))
    return done, refused
