"""The Markdown page of claims: a table with the verdicts first, then a section a claim."""

from collections import Counter
from pathlib import Path
from urllib.parse import quote

from scorelab.claims.claim import CORRECTED, HOLDS, SEEDS, UNDECIDED, VERDICTS
from scorelab.laws.estimate import shown
from scorelab.markdown import table, text


def page(results: list[dict], pictures: dict[str, list[Path]], folder: str, quick: bool) -> str:
    """The Markdown page: a table with the verdicts first, then a section a claim."""
    counted = Counter(result["verdict"] for result in results)
    every = [*VERDICTS, *sorted(counted.keys() - VERDICTS)]
    counts = ", ".join(f"{counted[verdict]} {text(verdict)}" for verdict in every)
    faults = Counter(filter(None, map(_fault, results)))
    named = ((text(fault), number) for fault, number in sorted(faults.items()))
    told = ", ".join(f"{number} {fault}s" if number > 1 else f"1 {fault}" for fault, number in named)
    seconds = sum(result["seconds"] for result in results)
    lines = [
        "# Statements of the literature, put to the test",
        "",
        f"    {'python run.py study=claims claims.quick=true' if quick else 'make claims'}",
        "",
        f"{len(results)} claims: {counts}. Of those that do not hold as printed: {told or 'none'}.",
        "",
        "A verdict is computed from the comparisons below each claim. It is `holds` if all comparisons of the printed",
        "statement are true, `holds as corrected` if one is false and all comparisons of the corrected statement are",
        "true, `undecided` if an error bar is too wide to tell, and `fails` otherwise. An equality counts within four",
        "standard errors and the rounding of the quadrature; an inequality has to be true beyond four standard errors.",
        "A *misprint* is right elsewhere in its source, or nothing follows from it; an *error* is any other fault.",
        f"All measurements together took {seconds:.0f} seconds of one core.",
        "",
        *(f"- {text(seed)}: {what}" for seed, what in _sources(results)),
        "",
        *table(("verdict", "", "claim", "source", "statement"), map(_verdict, results)),
    ]
    for result in results:
        lines += ["", *_section(result, pictures[result["id"]], folder)]
    return "\n".join(lines) + "\n"


def _fault(result: dict) -> str:
    """What is wrong with the printed statement, if the measurement decided that something is."""
    return "" if result["verdict"] in (HOLDS, UNDECIDED) else result["fault"] or ""


def _verdict(result: dict) -> tuple[str, ...]:
    link = f"[{text(result['id'])}](#{quote(result['id'].lower(), errors='replace')})"
    name, _ = SEEDS.get(_seed(result), ("", ""))
    place = result["source"].removeprefix(name).removeprefix(", ")
    return text(result["verdict"]), text(_fault(result)), link, text(place), text(result["statement"])


def _sources(results: list[dict]):
    """The seed and its title with the name by which it is cited, for each seed that has claims."""
    seeds = dict.fromkeys(map(_seed, results))
    named = ((seed, *SEEDS.get(seed, (None, "of an extension"))) for seed in seeds)
    return [(seed, f"{title} (cited as {name})" if name else title) for seed, name, title in named]


def _seed(result: dict) -> str:
    return result["id"].partition("-")[0]


def _section(result: dict, pictures: list[Path], folder: str) -> list[str]:
    verdict = text(result["verdict"]).capitalize()
    lines = [f"## {text(result['id'])}", "", f"**{verdict}**", "", f"> {text(result['statement'])}"]
    lines[2] += f" ({text(_fault(result))})." if _fault(result) else "."
    lines[2] += f" {text(result['source'])}."
    if result["verdict"] == CORRECTED:
        lines += ["", f"Corrected: {text(result['corrected'])}"]
    if "error" in result:
        return [*lines, "", f"The measurement ended in an error: {text(result['error'])}"]
    lines += ["", text(result["finding"])]
    if result["counterexample"] and result["verdict"] != HOLDS:
        lines += ["", f"Smallest counter-example found: {text(result['counterexample'])}"]
    headings = ("statement", "quantity", "measured", "", "held against", "true")
    lines += ["", *table(headings, map(_compared, result["comparisons"]))]
    for picture in pictures:
        lines += ["", f"![{text(result['id'])}]({folder}/{quote(picture.name)})"]
    return lines


def _compared(comparison: dict) -> tuple[str, ...]:
    true = {True: "yes", False: "no", None: "cannot be told"}[comparison["outcome"]]
    relation = {"=": "=", "<=": "≤", ">=": "≥"}[comparison["relation"]]
    measured = _shown(comparison["value"], comparison["error"], digits=6, error_digits=1)
    against = _shown(comparison["against"], digits=6)
    return text(comparison["statement"]), text(comparison["what"]), measured, relation, against, true


def _shown(value, *error, **digits) -> str:
    """A number as text; null in claims.json is a number that JSON cannot hold."""
    return "not finite" if value is None else shown(value, *error, **digits)
