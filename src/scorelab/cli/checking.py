"""Commands that hold samples, samplers and denoisers of any origin against exact answers."""

import sys
from pathlib import Path

from scorelab.files import require_folder


def evaluate(accepted, words):
    """Hold samples against a target: every number beside what exact samples have.

    The exit status is 0 if nothing tells the samples from exact ones, and 3 if something does.

        scorelab evaluate samples.npy target=mixture target.n=8 --out evaluated
    """
    from scorelab.evaluation import evaluate

    accepted.add_argument("samples", metavar="FILE", help=".npy or .csv, one sample a row")
    accepted.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="of the target, as target=mixture target.n=8"
    )
    accepted.add_argument("--out", metavar="DIR", help="write evaluation.json and evaluation.png there")
    accepted.add_argument("--seed", type=int, default=0, help="of the exact samples, >= 0; by default 0")
    accepted.add_argument(
        "--repeats", type=int, default=200, help="sets behind a floor or a standard error; by default 200"
    )
    chosen = accepted.parse_args(words)
    if chosen.out is not None:
        require_folder(chosen.out)
    found = evaluate(chosen.samples, chosen.overrides, seed=chosen.seed, repeats=chosen.repeats)
    print(found)
    if chosen.out is not None:
        found.save(chosen.out)
    sys.exit(0 if found.passed else 3)


def conformance(accepted, words):
    """Hold a sampler or a denoiser of anybody against exact answers, property by property.

    A sampler is a function sampler(denoiser, count, n, steps, generator) that returns samples (count, n), and a
    denoiser a function denoiser(x, angle) that returns the posterior mean: docs/conformance.md. FILE.py has one of
    them, or declares several, which are checked one after the other. The exit status is 0 if every property passes,
    and 3 if one fails.

        scorelab conformance my_sampler.py --order 2 --end-noise 0.01
        scorelab conformance my_model.py:net --denoiser --convention eps,scaled,sigma --target target=mixture target.n=8
        scorelab conformance my_package.rules:Heun --only order,limit --out found
    """
    add = accepted.add_argument
    add("where", metavar="FILE.py[:NAME]", help="or package.module:NAME; without NAME what the file declares")
    add("--denoiser", action="store_true", help="it is a denoiser, also where it does not have two arguments")
    add("--convention", metavar="RETURNS,SEES,TOLD", help="of its model, as eps,scaled,sigma: docs/conformance.md")
    add("--order", type=float, help="of convergence, that a sampler claims, > 0")
    add(
        "--end-noise",
        type=float,
        help="standard deviation of the noise that samples keep; by default 0, of a rule what its schedule keeps",
    )
    add("--steps", type=_integers, metavar="N,N", help="three doubling numbers at least; by default 16,32,64,128,256")
    add("--law-steps", type=int, help="of the samples that are held against a mixture; by default 512")
    add("--tolerance", type=float, help="largest relative squared error that a denoiser claims")
    add(
        "--target", nargs="+", metavar="OVERRIDE", help="law that a denoiser was made for, as target=mixture target.n=8"
    )
    add(
        "--count",
        type=int,
        help="samples of a statistical check, >= 100 and by default 2048; of a denoiser >= 16 and by default 4096",
    )
    add("--seed", type=int, help="of all draws, >= 0; by default 0")
    add("--only", type=lambda text: text.split(","), metavar="NAMES", help="properties, with commas between them")
    add(
        "--out",
        metavar="DIR",
        help="write conformance.json and conformance.png there, of several into a folder for each",
    )
    chosen = {key: value for key, value in vars(accepted.parse_args(words)).items() if value is not None}
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
    reports = []
    for each, (check, names) in [(each, each.check(kind, **chosen)) for each in found]:  # mistakes before all work
        if len(found) > 1:
            print(f"{each.name}:")
        width = max(map(len, names))
        report = check.report(names, watch=lambda found, width=width: print(found.line(width), flush=True))
        print(report.conclusion)
        if out is not None:
            report.save(Path(out) / each.name if len(found) > 1 else out)
        reports.append(report)
    sys.exit(0 if all(report.passed for report in reports) else 3)


def _integers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


_integers.__name__ = "N,N"  # what the parser calls it in a refusal
