"""The Markdown page: what to run, the table, the figure, and each deviation with its reproduction."""

from scorelab.laws.estimate import shown
from scorelab.markdown import table, text
from scorelab.studies.peers.reproduce import texts

_INTRO = """\
# Samplers of other libraries

    make peers                                    # an environment of its own with the libraries, then this page
    python run.py study=peers 'study.only=[diffusers]'      # one library, where it is there

Samplers of other libraries run on laws whose answers are known, through adapters of few lines that have none of their
code (`scorelab.conformance.peers`). Versions: {versions}. Costs: {machine}.

- *Order*: the slope of the difference between N and 2N steps on log N, N = {steps}; of mean and covariance on a
  Gaussian, which are exact (± is of the regression, not of sampling), and of paths on a mixture from one noise (± is a
  standard error). Empty where samples are clipped, or where noise is drawn on the way.
- *Bias*: distance of mean and covariance from those of the law, with at most so many evaluations of the denoiser.
- *Cost*: microseconds of processor time a step beyond the denoiser, for 256 samples of three numbers, median ± half the
  distance of the quartiles.
- *Fails*: properties of [conformance](conformance.md). `law` has 1024 samples of 256 steps: a rule of low order may
  fail it by its bias alone.

Settings are the defaults but for those that a title names; *best* is what the library's documentation recommends. An
order is measured where samplers are used. It may be that of the last step or of few steps, and not that of the rule:
the deviations below say where.
"""

_DEVIATIONS = """\
## Deviations

Each was found by the table, and is reproduced here in the library's own code and loop, in double precision, without
scorelab. The law is a Gaussian or a point, whose exact noise or denoiser is one expression.
"""


def page(study, metrics, printed, picture: str | None) -> str:
    """The Markdown page. metrics: the content of metrics.json. printed: name -> what a reproduction prints, or None.
    picture: the figure's place, seen from the page."""
    whole, why = metrics["peers"], metrics.get("not_measured", {})
    versions = ", ".join(f"{text(name)} {text(number)}" for name, number in whole["versions"].items())
    last = ", ".join(map(str, study.steps[-4:-1]))
    lines = _INTRO.format(versions=versions, machine=text(whole["machine"]), steps=last).splitlines()
    measured = [each for each in study.selected if "cost" in whole.get(each.name, {})]
    if picture is not None:
        lines += ["", f"![Error against evaluations, a panel a library]({picture})"]
    for title, wanted in (("libraries", False), ("rules of scorelab", True)):
        peers = [each for each in measured if (each.library == "scorelab") is wanted]
        lines += ["", f"## Orders and failures: {title}", ""]
        head = ("sampler", "claimed", "on a Gaussian", "paths on a mixture", "cost", "fails", "where it is claimed")
        lines += table(head, [_orders(each, whole[each.name], study) for each in peers])
    lines += ["", "## Bias at a number of evaluations", ""]
    lines.append("Mean, in standard deviations; variance, signed; covariance, relative. A dash: one step needs more.")
    counts = whole["evaluations"]
    head = ("sampler", *map(str, counts), "beside it")
    lines += ["", *table(head, [_biases(each, whole, study) for each in measured if "mean_bias" in whole[each.name]])]
    missing = [(each, why[f"peers.{each.name}.order"]) for each in study.selected if f"peers.{each.name}.order" in why]
    if missing:
        lines += ["", "Not measured:", "", *(f"- {text(each.title)}: {text(reason)}" for each, reason in missing)]
    lines += ["", *_DEVIATIONS.splitlines()]
    for name, markdown in texts().items():
        if name in printed:
            lines += ["", *_deviation(markdown, printed[name], whole["versions"][name.partition("-")[0]])]
    return "\n".join(lines) + "\n"


def _orders(peer, found, study):
    claim = "" if peer.order is None else f"{peer.order:g}"
    order, paths = (
        shown(found[key], found[f"{key}_standard_error"], error_digits=1) if key in found else ""
        for key in ("order", "strong_order")
    )
    cost = shown(found["cost"], found["cost_spread"], error_digits=1)
    fails = ", ".join(found.get("failures", ())) or ("passes" if study.check else "")
    return text(peer.title), claim, order, paths, cost, fails, text(peer.claimed)


def _biases(peer, whole, study):
    found, titles = whole[peer.name], {each.name: each.title for each in study.peers}
    cells = []
    columns = (found[f"{key}_bias"] for key in ("mean", "variance", "covariance"))
    for mean, variance, covariance in zip(*columns, strict=True):
        cells.append("-" if mean is None else f"{mean:.1g}, {variance:+.1%}, {covariance:.2g}")
    return text(peer.title), *cells, text(titles.get(peer.beside, ""))


def _deviation(markdown, printed, version):
    lines = markdown.strip().splitlines()
    lines[0] += f" ({version})"
    if printed is None:
        return [*lines, "", "Not run here, as the library is not installed."]
    return [*lines, "", "It prints", "", "```text", *printed.rstrip().splitlines(), "```"]
