"""The sentences of the report that are computed from the numbers."""

import math
import statistics

import numpy

from scorelab.laws.estimate import shown
from scorelab.reproduction.collect import Entry
from scorelab.reproduction.semester.figures import Figure, published_numbers, share

#: an error within this factor of a published error is reproduced; numbers within so many standard errors, or standard
#: deviations, are equal
FACTOR, DEVIATIONS = 1.5, 2.0
_SAME_T = 0.0051  # published times are printed with two decimals


def over_floor(entry: Entry) -> float | None:
    """W1 over its floor; None where one of them was not measured."""
    w1, floor = entry.number("projection.w1"), entry.number("projection.w1_floor")
    return w1 / floor if w1 is not None and floor else None


def at_floor(entry: Entry) -> bool:
    """Whether W1 is within two deviations of what as many exact samples score."""
    w1, floor = entry.number("projection.w1"), entry.number("projection.w1_floor")
    spread = entry.number("projection.w1_floor_deviation")
    return None not in (w1, floor, spread) and w1 <= floor + DEVIATIONS * spread


def weight_off(entry: Entry) -> float | None:
    """Distance of the mode weight from the exact one, in standard errors."""
    return entry.off("projection.mode_weight")


def ratios(figure: Figure, entry: Entry) -> list[float | None]:
    """Relative errors over the published errors; None at a time that was not published, and in another setting."""
    ours = _errors(entry)
    return [
        error / theirs if theirs and error is not None else None
        for (_, error), theirs in zip(ours, published_errors(figure, entry), strict=True)
    ]


def published_errors(figure: Figure, entry: Entry) -> list[float | None]:
    """The published relative error at each time of a run; all None in another setting, or on another grid of angles."""
    times = [t for t, _ in _errors(entry)]
    none = [None] * len(times)
    if figure.printed is None or entry.setting != 2:
        return none
    theirs = published_numbers()[figure.printed]
    same = len(times) == len(theirs["t"]) and all(abs(a - b) < _SAME_T for a, b in zip(times, theirs["t"], strict=True))
    return [percent / 100 for percent in theirs["percent"]] if same else none


def comparable(figure: Figure, entries: list[Entry]) -> bool:
    """Whether any of the runs has the angles of the published errors."""
    return any(error is not None for entry in entries for error in published_errors(figure, entry))


def within(values: list[float | None]) -> tuple[int, int]:
    """How many ratios are within the factor, and how many there are."""
    known = [value for value in values if value is not None]
    return sum(1 / FACTOR <= value <= FACTOR for value in known), len(known)


def conclude(figure: Figure, entries: list[Entry], others: list[Entry] = ()) -> str:
    """One sentence on the done runs of a figure; `others` are all runs, for comparison."""
    if not entries:
        return "No run of this figure is done."
    if figure.picture == "two_stage":
        return _of_recovery(entries)
    return _of_errors(figure, entries, others) if figure.picture == "posterior_mean" else _of_samples(entries)


def overall(entries: list[Entry]) -> str:
    """One sentence on all done runs."""
    ranked = sorted((e for e in entries if over_floor(e) is not None and e.trained), key=over_floor)
    if not ranked:
        return "No trained run is done."
    best, worst = ranked[0], ranked[-1]
    right = sum(_right(e) for e in ranked)
    return (
        f"Trained runs with W1 at its floor: {sum(map(at_floor, ranked))} of {len(ranked)}; with the mode weight "
        f"within {DEVIATIONS:g} s.e. of the exact one: {right} of {len(ranked)}; nearest to the floor is "
        f"{_named(best)} with {over_floor(best):.3g} times the floor, furthest {_named(worst)} with "
        f"{over_floor(worst):.3g} times{_carried(ranked)}."
    )


def _of_samples(entries: list[Entry]) -> str:
    known = [entry for entry in entries if over_floor(entry) is not None]
    if not known:
        return "No run has a W1."
    best = min(known, key=over_floor)
    w1, floor = best.number("projection.w1"), best.number("projection.w1_floor")
    text = f"W1 is {w1:.3g}, {over_floor(best):.3g} times its floor of {floor:.2g}"
    reached, right = sum(map(at_floor, known)), sum(map(_right, known))
    if len(known) == 1:
        exact = best.number("projection.mode_weight_exact")
        off = weight_off(best)
        standing = "at the floor" if reached else "above what exact samples score"
        weight = "" if off is None else f", and the mode weight is {off:.2g} s.e. from the exact {exact:g}"
        return f"{text}, {standing}{weight}{'' if off is None else _verdict(off)}{_carried(known)}."
    return (
        f"The best {text}, in {_named(best)}; at the floor: {reached} of {len(known)} runs; mode weight within "
        f"{DEVIATIONS:g} s.e. of the exact one: {right} of {len(known)}{_spread(known)}{_carried(known)}."
    )


def _of_recovery(entries: list[Entry]) -> str:
    def ends(entry, key):
        return entry.number(f"two_stage.{key}")

    known = [entry for entry in entries if ends(entry, "stage2_distance_mean") is not None]
    if not known:
        return "No start of any run came to an end."
    entry = min(known, key=lambda entry: ends(entry, "stage2_distance_mean"))
    distance, floor, spread = (ends(entry, key) for key in ("stage2_distance_mean", "floor", "floor_deviation"))
    starts = len(ends(entry, "initial_cosine"))
    left = starts - ends(entry, "diverged_count")
    cosines = [cosine for cosine in ends(entry, "stage2_cosine") if cosine is not None]
    error = ends(entry, "stage2_distance_standard_error")
    reached = shown(distance, error)
    at = abs(distance - floor) <= DEVIATIONS * spread / math.sqrt(left)
    return (
        f"In {_named(entry)}, {left} of {starts} starts came to an end: |cos| after stage 2 is at least "
        f"{min(cosines):.5f}, and the distance to mu* {reached}, {'at' if at else 'not at'} the {floor:.3f} that "
        f"{ends(entry, 'samples')} samples allow on average."
    )


def _of_errors(figure: Figure, entries: list[Entry], others: list[Entry]) -> str:
    compared = [(entry, ratios(figure, entry)) for entry in entries]
    compared = [(entry, values) for entry, values in compared if within(values)[1]]
    if not compared:
        return _alone(figure, entries, others)
    entry, values = max(compared, key=lambda pair: (within(pair[1])[0], -_distance(pair[1])))
    count, of = within(values)
    known = [value for value in values if value is not None]
    best = "" if len(compared) == 1 else f", the best of {len(compared)} runs"
    above, below = sum(value > FACTOR for value in known), sum(value < 1 / FACTOR for value in known)
    rest = f"; {above} are larger and {below} smaller" if above or below else ""
    return (
        f"In {_named(entry)}{best}, {count} of {of} relative errors are within a factor of {FACTOR:g} of the published "
        f"ones{rest} (ratios {min(known):.2f} to {max(known):.2f})."
    )


def _alone(figure: Figure, entries: list[Entry], others: list[Entry]) -> str:
    known = [(entry, errors) for entry in entries if (errors := [e for e in _errors(entry) if e[1] is not None])]
    if not known:
        return "No run has relative errors."
    entry, errors = min(known, key=lambda pair: statistics.fmean(error for _, error in pair[1]))
    (low_t, low), (high_t, high) = min(errors, key=lambda e: e[1]), max(errors, key=lambda e: e[1])
    text = (
        f"In {_named(entry)} the relative error lies between {100 * low:.3g} % (t = {low_t:.3g}) and "
        f"{100 * high:.3g} % (t = {high_t:.3g})"
    )
    twin = next((other for other in others if _twins(entry, other)), None)
    if figure.printed == "phase_aware_tanh" and twin:
        theirs = [pair for pair in _errors(twin) if pair[1] is not None]
        smaller = sum(_between(errors, t) < error for t, error in theirs)
        text += (
            ", and interpolated in log t it is below that of the single tanh network of equal N and epochs at "
            f"{smaller} of its {len(theirs)} angles"
        )
    return text + "."


def _errors(entry: Entry) -> list[tuple[float, float | None]]:
    times, errors = (entry.number(f"posterior_mean.{key}") or [] for key in ("t", "relative_error"))
    return list(zip(times, errors, strict=True))


def _between(errors: list[tuple[float, float]], t: float) -> float:
    """An error interpolated linearly in log t."""
    times, values = zip(*errors, strict=True)
    return float(numpy.interp(math.log(t), [math.log(time) for time in times], values))


def _twins(entry: Entry, other: Entry) -> bool:
    same = all(getattr(entry, key) == getattr(other, key) for key in ("setting", "protocol", "seed", "N", "epochs"))
    return other.preset in ("fig04_tanh", "fig05_tanh") and other.metrics is not None and same


def _right(entry: Entry) -> bool:
    off = weight_off(entry)
    return off is not None and off <= DEVIATIONS


def _verdict(off: float) -> str:
    return ", which agrees" if off <= DEVIATIONS else ", which does not agree"


def _spread(entries: list[Entry]) -> str:
    totals = [total for entry in entries if (total := entry.number("path_kl.total")) is not None]
    return f"; path KL {min(totals):.3g} to {max(totals):.3g} nats" if totals else ""


def _distance(values) -> float:
    return statistics.fmean(abs(math.log(value)) if value else math.inf for value in values if value is not None)


def _named(entry: Entry) -> str:
    parts = [entry.preset] + ([f"setting {entry.setting}"] if entry.setting else [])
    parts += [entry.protocol] if entry.protocol else []
    parts += [f"{100 * share(entry):.3g} % of the budget"] if share(entry) not in (None, 1) else []
    return f"run {entry.name} ({', '.join(part for part in parts if part)})"


def _carried(entries: list[Entry]) -> str:
    """Name the runs whose W1 comes from a few samples: W1 is not at its floor, and its standard error is above W1/2."""
    names = [entry.name for entry in entries if not at_floor(entry) and _half_error(entry)]
    return f"; a few samples carry the W1 of run {', '.join(names)}, whose s.e. is above half of it" if names else ""


def _half_error(entry: Entry) -> bool:
    error = entry.number("projection.w1_standard_error")
    return error is not None and error > entry.number("projection.w1") / 2
