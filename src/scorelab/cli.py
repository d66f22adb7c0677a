"""The command `scorelab`.

    scorelab run [OVERRIDE ...]          train, sample, measure and draw; -m sweeps; --help lists the options, and
                                         target=mixture --help the keys of an option
    scorelab ls [DIR ...]                find runs: --where 'denoiser.L == 6 and metrics.projection.w1 < 0.01'
    scorelab gather DIR                  gather the runs below a directory, also of a sweep that still runs
    scorelab evaluate FILE [OVERRIDE ...]
                                         hold samples of any origin (.npy, .csv) against target=NAME
    scorelab conformance FILE.py[:NAME]  hold a sampler or a denoiser of anybody against exact answers

`scorelab COMMAND --help` says more.
"""

import argparse
import sys
from pathlib import Path

from scorelab.errors import ScorelabError, one_line, printable
from scorelab.files import require_folder

#: columns of `ls`, those of them that there are
_COLUMNS = ("directory", "state", "study", "target", "denoiser", "seed", "metrics.projection.w1")
_COLUMNS += ("metrics.projection.mode_weight", "metrics.path_kl.total", "error")

_LS = """List runs: a row for each run at any depth below the directories.

Columns are directory, state, time, error, asked (the overrides), the names of the chosen classes (target, ...), every
key of the configuration, as training.N, and every number of metrics.json, as metrics.projection.w1.

    scorelab ls outputs --where 'denoiser.L == 6 and metrics.projection.w1 < 0.01'
    scorelab ls outputs --columns directory,training.N,metrics.path_kl.total"""
_GATHER = """Write sweep.csv, sweep.md and the figures of the runs below a directory, also of a sweep that still runs.

    scorelab gather outputs/2026-11-27/12-00-00-sweep"""
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
    known = {"run": _run, "ls": _ls, "gather": _gather, "evaluate": _evaluate, "conformance": _conformance}
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
    from rich.console import Console
    from rich.table import Table

    from scorelab.lab.finding import runs

    parser = _parser("ls", _LS)
    parser.add_argument("directories", nargs="*", metavar="DIR", help="where runs are looked for; by default outputs")
    parser.add_argument("--where", metavar="EXPRESSION", help="an expression of columns that a run has to satisfy")
    parser.add_argument("--columns", metavar="NAMES", help="columns, with commas between them; 'all' for every one")
    parser.add_argument("--csv", metavar="FILE", help="write every column to a file instead")
    chosen = parser.parse_args(words)
    table = runs(*chosen.directories, where=chosen.where)
    if chosen.csv is not None:
        table.to_csv(chosen.csv, index=False)
        return
    names = [*table] if chosen.columns == "all" else (chosen.columns or ",".join(_COLUMNS)).split(",")
    names = list(dict.fromkeys(name.strip() for name in names))
    missing = [name for name in names if name not in table]
    if chosen.columns and missing and len(table):
        raise ScorelabError(f"--columns: no run has {missing[0]}")
    names = [name for name in names if name in table and (chosen.columns or table[name].notna().any())]
    shown = Table(*names, box=None, pad_edge=False)
    for row in table[names].to_dict("records"):
        shown.add_row(*(_text(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 10_000).print(shown)
    print(f"{len(table)} runs")


def _text(value) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else printable(value).replace("[", r"\[")


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
