"""The command `scorelab`.

    scorelab run [OVERRIDE ...]          train, sample, measure and draw; -m sweeps; --help lists the options, and
                                         target=mixture --help the keys of an option
    scorelab ls [DIR ...] [EXPRESSION]   find runs, as 'denoiser.L == 6 and projection.w1 < 0.01'
    scorelab diff A B                    two runs, or the jobs of two sweeps, side by side
    scorelab rm [DIR ...] --failed       remove runs; it asks first
    scorelab gather DIR                  gather the runs below a directory, also of a sweep that still runs
    scorelab status [DIR]                states, progress and remaining time of runs and sweeps
    scorelab stop DIR                    interrupt who works there, as Ctrl-C would
    scorelab evaluate FILE [OVERRIDE ...]
                                         hold samples of any origin (.npy, .csv) against target=NAME
    scorelab conformance FILE.py[:NAME]  hold a sampler or a denoiser of anybody against exact answers

`scorelab COMMAND --help` says more.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from scorelab.errors import ScorelabError, one_line, printable
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
_DIFF = """Hold two runs, or the jobs of the same number of two sweeps, side by side.

Shown are the overrides, the keys of the configuration and the versions that differ, and the numbers of metrics.json,
with their difference b - a and its standard error, that of independent runs, where both have one. A number is
undecided up to four of these errors. Of a list the number that is farthest apart is shown, of sweeps how many differ.

The exit status is 0 if nothing differs but times, to the last bit, and 3 if something does.

    scorelab diff outputs/2026-11-27/12-00-00 outputs/2026-11-27/12-05-00-seed"""
_RM = """Remove runs. It lists what would go, with sizes, and asks first.

A run that a process works at stays, and so do the jobs of a sweep that runs, what cannot be read, and what is no run
directory. A link is removed, and nothing behind it. The jobs that a sweep has left keep their numbers; scorelab gather
DIR writes its tables anew.

The exit status is 2 if nobody can be asked and --yes is not given, and 1 if it could not remove everything.

    scorelab rm outputs --failed
    scorelab rm outputs --where 'training.N == 100 and denoiser.L < 3'"""
_GATHER = """Write sweep.csv, sweep.md and the figures of the runs below a directory, also of a sweep that still runs.

    scorelab gather outputs/2026-11-27/12-00-00-sweep"""
_STATUS = """States, ages, progress and remaining time of a run, a sweep, or all runs below a directory.

It reads the directories alone, and asks the queue of Slurm once for a sweep that was submitted to it.

    scorelab status outputs/2026-11-27/12-00-00-sweep --watch 5"""
_STOP = """Interrupt who works at a run, or at a sweep and its jobs, as Ctrl-C would.

sweep.resume=DIR or training.resume=DIR goes on later.

The exit status is 1 if something still works there that cannot be stopped from here."""
_EVALUATE = """Hold samples against a target: every number beside what exact samples have.

The exit status is 0 if nothing tells the samples from exact ones, and 3 if something does.

    scorelab evaluate samples.npy target=mixture target.n=8 --out evaluated"""
_CONFORMANCE = """Hold a sampler or a denoiser of anybody against exact answers, property by property.

A sampler is a function sampler(denoiser, count, n, steps, generator) that returns samples (count, n), and a denoiser a
function denoiser(x, angle) that returns the posterior mean: docs/conformance.md. FILE.py has one of them, or declares
several. The exit status is 0 if every property passes, and 3 if one fails.

    scorelab conformance my_sampler.py --order 2 --end-noise 0.01
    scorelab conformance my_model.py:net --denoiser --convention eps,scaled,sigma --target target=mixture target.n=8
    scorelab conformance my_package.rules:Heun --only order,limit --out found"""


def main():
    """Do what the command line says."""
    command, *rest = sys.argv[1:] or ["--help"]
    known = {"run": _run, "ls": _ls, "diff": _diff, "rm": _rm, "gather": _gather, "status": _status, "stop": _stop}
    known |= {"evaluate": _evaluate, "conformance": _conformance}
    if command not in known:
        told = command in ("-h", "--help")
        print(__doc__.strip() if told else f"error: {command}: allowed are {', '.join(known)}", file=sys.stderr)
        sys.exit(0 if told else 2)
    try:
        known[command](rest)
    except BrokenPipeError:  # whoever read the output has had enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ScorelabError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser(name: str, text: str):
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"scorelab {name}", description=text, formatter_class=kind)


def _run(words):
    import hydra

    from scorelab.lab import app
    from scorelab.lab.hydra_internals import BASE

    sys.argv = ["scorelab run", *words]
    app.main(hydra.main(config_path=str(app.config_folder()), config_name="config", **BASE)(app.job))


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


def _diff(words):
    from scorelab.lab.comparing import diff, same, text

    parser = _parser("diff", _DIFF)
    parser.add_argument("a", metavar="A", help="a run, or a directory of runs, as of a sweep")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument("--all", action="store_true", help="show every number, also those that are equal")
    parser.add_argument("--csv", metavar="FILE", help="write the whole table to a file instead")
    chosen = parser.parse_args(words)
    table = diff(chosen.a, chosen.b)
    if chosen.csv is not None:
        table.to_csv(chosen.csv, index=False)
    else:
        print(text(table, (chosen.a, chosen.b), chosen.all))
    sys.exit(0 if same(table) else 3)


def _rm(words):
    from scorelab.lab.removing import removable, remove, remove_leftovers

    parser = _parser("rm", _RM)
    parser.add_argument("directories", nargs="*", metavar="DIR", help="where runs are looked for; by default outputs")
    parser.add_argument("--failed", action="store_true", help="runs that failed")
    parser.add_argument(
        "--interrupted", action="store_true", help="runs that were interrupted, or whose process is gone"
    )
    parser.add_argument("--where", metavar="EXPRESSION", help="runs of which an expression is true, as for scorelab ls")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    chosen = parser.parse_args(words)
    states = [state for state in ("failed", "interrupted") if getattr(chosen, state)]
    if not states and chosen.where is None and not any(map(_is_condition, chosen.directories)):
        parser.error("--failed, --interrupted, or an expression is needed: which runs shall go")
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


def _tried(function, things) -> tuple[list, list[str]]:
    """What a function returns of each thing, and the lines of those for which it raises ScorelabError."""
    done, refused = [], []
    for thing in things:
        try:
            done.append(function(thing))
        except ScorelabError as error:
            refused.append(one_line(error))
    return done, refused


def _gather(words):
    from scorelab.lab.gather import gather, print_sweep

    parser = _parser("gather", _GATHER)
    parser.add_argument("directory", metavar="DIR", help="a directory with runs, as of a sweep; the files go there")
    parser.add_argument("extensions", nargs="*", help="packages of your own whose studies the runs are of")
    chosen = parser.parse_args(words)
    print_sweep(gather(chosen.directory, chosen.extensions), Path(chosen.directory))


def _status(words):
    from scorelab.lab.status import status
    from scorelab.lab.status_text import text

    parser = _parser("status", _STATUS)
    parser.add_argument("directory", nargs="?", default="outputs", metavar="DIR", help="by default outputs")
    parser.add_argument("--all", action="store_true", help="list every job, however many there are")
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="again and again, until nobody works there")
    chosen = parser.parse_args(words)
    while True:
        found = status(chosen.directory)
        if chosen.watch and sys.stdout.isatty():
            print("\033[H\033[2J", end="")  # clears the terminal
        print(json.dumps(found.data, indent=2) if chosen.json else text(found, chosen.all), flush=True)
        if not (chosen.watch and found.alive):
            return
        time.sleep(chosen.watch)


def _seconds(word: str) -> float:
    value = float(word)
    if not 0 < value <= 86400:
        raise ValueError
    return value


def _stop(words):
    from scorelab.lab.stop import stop

    parser = _parser("stop", _STOP)
    parser.add_argument("directory", metavar="DIR", help="of a run or a sweep")
    stopped, left = stop(parser.parse_args(words).directory)
    print(*stopped, sep="\n")
    if left:
        sys.exit("\n".join(left))


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


def _conformance(words):
    parser = _parser("conformance", _CONFORMANCE)
    add, numbers = parser.add_argument, {"type": lambda text: [int(each) for each in text.split(",")], "metavar": "N,N"}
    add("where", metavar="FILE.py[:NAME]", help="or package.module:NAME; without NAME what the file declares")
    add("--denoiser", action="store_true", help="it is a denoiser, also where it does not have two arguments")
    add("--convention", metavar="RETURNS,SEES,TOLD", help="of its model, as eps,scaled,sigma: docs/conformance.md")
    add("--order", type=float, help="of convergence, that a sampler claims")
    add(
        "--end-noise",
        type=float,
        help="standard deviation of the noise that samples keep; by default 0, of a rule what its schedule keeps",
    )
    add("--steps", **numbers, help="three doubling numbers at least; by default 16,32,64,128,256")
    add("--law-steps", type=int, help="of the samples that are held against a mixture; by default 512")
    add("--tolerance", type=float, help="largest relative squared error that a denoiser claims")
    add(
        "--target", nargs="+", metavar="OVERRIDE", help="law that a denoiser was made for, as target=mixture target.n=8"
    )
    add("--count", type=int, help="samples of a statistical check; by default 2048, of a denoiser 4096")
    add("--seed", type=int, help="of all draws, >= 0; by default 0")
    add("--only", type=lambda text: text.split(","), metavar="NAMES", help="properties, with commas between them")
    add("--out", metavar="DIR", help="write conformance.json and conformance.png there")
    chosen = {key: value for key, value in vars(parser.parse_args(words)).items() if value is not None}
    where, out = chosen.pop("where"), chosen.pop("out", None)
    kind = "denoiser" if chosen.pop("denoiser") else None
    if out is not None:
        require_folder(out)
    from scorelab.conformance.declared import found_in, load, named_in

    if "convention" in chosen:
        from scorelab.denoisers.convention import of_words

        chosen["convention"] = of_words(chosen["convention"])
    if "target" in chosen:
        from scorelab.lab.parts import target_of

        chosen["target"] = target_of(chosen["target"])
    module, name = load(where)
    found = [named_in(module, name)] if name else found_in(module)
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise ScorelabError(f"{where}: has {names}; name one of them, as {where}:{found[0].name}")
    check, names = found[0].check(kind, **chosen)
    width = max(map(len, names))
    report = check.report(names, watch=lambda each: print(each.line(width), flush=True))
    print(report.conclusion)
    if out is not None:
        report.save(out)
    sys.exit(0 if report.passed else 3)


if __name__ == "__main__":
    main()
