"""What the report of the semester paper says, figure by figure."""

from scorelab.blocks import Cell, Heading, Paragraph, Pictures, Table
from scorelab.reproduction.cells import NONE, average, mean, measured, not_done, percent, plain, text, with_error
from scorelab.reproduction.collect import Entry
from scorelab.reproduction.semester import conclusions
from scorelab.reproduction.semester.figures import FIGURES, Figure, published_numbers, share
from scorelab.reproduction.semester.protocols import differences
from scorelab.reproduction.semester.published import SETTINGS


def contents(entries: list[Entry], name: str) -> list:
    """The blocks of the report."""
    done = [entry for entry in entries if entry.metrics is not None]
    rest = [entry for entry in entries if entry.metrics is None]
    blocks = [
        Heading(1, f"The figures of the semester paper: {name}"),
        Paragraph(f"{len(done)} of {len(entries)} runs are done. Values are ± one standard error."),
        Paragraph(conclusions.overall(done), conclusion=True),
    ]
    if done:
        sampled = [entry for entry in done if entry.number("projection.w1") is not None]
        blocks += [Heading(2, "The presets side by side"), _comparison(sampled)]
        blocks.append(
            Paragraph(
                "Values are means over seeds. The share of the budget is N × epochs of the run over N × epochs of the "
                f"setting. A W1 is at its floor if it is within {conclusions.DEVIATIONS:g} standard deviations of what "
                "as many exact samples score. The path KL goes up to T: only values with the same T can be compared. "
                "With one network for each mode, it is the path KL of each side's process."
            )
        )
    for figure in FIGURES:
        blocks += _section(figure, done)
    others = [entry for entry in done if not any(figure.has(entry) for figure in FIGURES)]
    if others:
        blocks += [Heading(2, "Runs of no figure"), _runs(others)]
    if rest:
        blocks += [Heading(2, "Not done"), not_done(rest)]
    return [*blocks, *_protocols()]


def _section(figure: Figure, done: list[Entry]) -> list:
    entries = [entry for entry in done if figure.has(entry)]
    sentence = conclusions.conclude(figure, entries, done)
    blocks = [Heading(2, f"Figure {figure.number}: {figure.title}"), Paragraph(sentence, conclusion=True)]
    if not entries:
        return blocks
    shown = ("posterior_mean", "errors") if figure.picture == "posterior_mean" else (figure.picture,)
    for name in shown:
        pictures = [(path, _caption(entry)) for entry in entries if (path := entry.picture(name))]
        blocks += [Pictures(pictures)] if pictures else []
    if figure.picture == "two_stage":
        return [*blocks, _recovery(entries)]
    blocks.append(_runs(entries, figure))
    if figure.picture == "posterior_mean":
        blocks += [_errors(figure, entries), Paragraph(_footnote(figure, entries))]
    rerun = published_numbers()["rerun_of_that_code_setting_1_two_cores"]
    network = {2: "relu", 4: "tanh"}.get(figure.number)
    if network:
        theirs = rerun[network]
        blocks.append(
            Paragraph(
                f"The published code itself, run again in setting 1: W1 {theirs['w1_5000']:g}, mode weight "
                f"{theirs['mode_weight']:g}, path KL {theirs['path_kl_nats']:g} nats."
            )
        )
    return blocks


def _runs(entries: list[Entry], figure: Figure | None = None) -> Table:
    compared = figure is not None and conclusions.comparable(figure, entries)
    headings = ["run", "preset", "setting", "protocol", "W1", "W1 floor", "W1 / floor", "KS", "mode weight", "exact"]
    headings += ["path KL (nats)"] + ([f"within {conclusions.FACTOR:g}"] if compared else [])
    headings += ["T", "share", "N", "epochs", "steps", "network", "seed"]
    rows = []
    for entry in entries:
        row = [Cell(entry.name), text(entry.preset), text(entry.setting), text(entry.protocol)]
        row.append(measured(entry, "projection.w1", "projection.w1_standard_error"))
        row += [plain(entry.number("projection.w1_floor"), 2), plain(conclusions.over_floor(entry), 3)]
        row.append(measured(entry, "projection.ks", "projection.ks_standard_error"))
        row.append(measured(entry, "projection.mode_weight", "projection.mode_weight_standard_error"))
        row.append(plain(entry.number("projection.mode_weight_exact")))
        row.append(measured(entry, "path_kl.total", "path_kl.standard_error"))
        if compared:
            count, of = conclusions.within(conclusions.ratios(figure, entry))
            row.append(Cell(f"{count} of {of}", count) if of else Cell(NONE))
        row += [plain(entry.number("sampling.T")), percent(share(entry)), plain(entry.N), plain(entry.epochs)]
        row += [plain(entry.number("training.steps") or None), text(entry.network), plain(entry.seed)]
        rows.append(row)
    return Table(headings, rows)


def _errors(figure: Figure, entries: list[Entry]) -> Table:
    """Relative errors in per cent by time, beside the published errors where there are any."""
    compared = conclusions.comparable(figure, entries)
    times = sorted({t for entry in entries for t in entry.number("posterior_mean.t") or []})
    headings = ["t"] + (["published (%)"] if compared else [])
    rows = {t: [plain(t)] for t in times}
    if compared:
        printed = {}
        for entry in entries:
            for t, value in zip(_series(entry, "t"), conclusions.published_errors(figure, entry), strict=True):
                printed[t] = printed.get(t) or value
        for t in times:
            rows[t].append(plain(None if printed[t] is None else 100 * printed[t]))
    for entry in entries:
        headings += [f"run {entry.name} (%)"] + (["ratio"] if compared else [])
        found = dict(
            zip(
                _series(entry, "t"),
                zip(
                    _series(entry, "relative_error"),
                    _series(entry, "relative_error_standard_error"),
                    conclusions.ratios(figure, entry),
                    strict=True,
                ),
                strict=True,
            )
        )
        for t in times:
            error, se, ratio = found.get(t, (None, None, None))
            rows[t].append(with_error(error, se, 100))
            if compared:
                rows[t].append(Cell(NONE) if ratio is None else Cell(f"{ratio:.2f}", ratio))
    return Table(headings, list(rows.values()))


def _recovery(entries: list[Entry]) -> Table:
    """The table of where the descents of each run ended."""
    headings = ["run", "protocol", "objective", "starts", "diverged", "steps", "|cos| after stage 1", "after stage 2"]
    headings += ["distance after stage 1", "after stage 2", "floor", "over the population"]
    rows = []
    for entry in entries:
        of = {key: entry.number(f"two_stage.{key}") for key in ("protocol", "objective", "steps", "initial_cosine")}
        row = [Cell(entry.name), text(of["protocol"]), text(of["objective"]), plain(len(of["initial_cosine"]))]
        row += [plain(entry.number("two_stage.diverged_count")), Cell(" + ".join(map(str, of["steps"])))]
        for name in ("cosine", "distance"):
            for stage in (1, 2):
                key = f"two_stage.stage{stage}_{name}"
                row.append(measured(entry, f"{key}_mean", f"{key}_standard_error"))
        row += [plain(entry.number("two_stage.floor"))]
        row += [plain(entry.number("two_stage.population.stage2_distance_mean"), 2)]
        rows.append(row)
    return Table(headings, rows)


def _comparison(done: list[Entry]) -> Table:
    """One row for each preset, setting, protocol and budget, with means over the seeds."""
    groups = {}
    for entry in done:
        key = (entry.preset, entry.setting, entry.protocol, entry.N, entry.epochs, entry.network)
        groups.setdefault(key, []).append(entry)
    headings = ["preset", "setting", "protocol", "share", "runs", "W1", "W1 / floor", "mode weight", "off (s.e.)"]
    headings += ["T", "path KL (nats)"]
    rows = []
    for (preset, setting, protocol, *_), group in groups.items():
        row = [text(preset), text(setting), text(protocol), percent(share(group[0])), plain(len(group))]
        row += [mean(group, "projection.w1"), plain(average(map(conclusions.over_floor, group)), 3)]
        row += [mean(group, "projection.mode_weight"), plain(average(map(conclusions.weight_off, group)), 2)]
        row += [mean(group, "sampling.T"), mean(group, "path_kl.total")]
        rows.append(row)
    return Table(headings, rows)


def _protocols() -> list:
    headings = ["setting", "N", "epochs", "L", "m"]
    settings = [[Cell(str(key)), *(plain(value[name]) for name in headings[1:])] for key, value in SETTINGS.items()]
    return [
        Heading(2, "The settings, and where the published code departs from the text"),
        Table(headings, settings),
        Table(["", "paper (the text)", "author (the code)"], [[Cell(cell) for cell in row] for row in differences()]),
    ]


def _footnote(figure: Figure, entries: list[Entry]) -> str:
    numbers = published_numbers()
    theirs = numbers[figure.printed]
    if conclusions.comparable(figure, entries):
        return (
            f"Relative error: {numbers['what']}. Published: {numbers['source']}. The second pictures have the error, "
            "both parts of the risk E|X - m_hat|^2, Bayes risk and excess, and the density of the path KL."
        )
    return (
        f"These errors are ours alone: the published errors are on another grid of {len(theirs['t'])} angles, "
        f"from {theirs['percent'][0]:g} % at t = {theirs['t'][0]:g} "
        f"to {theirs['percent'][-1]:g} % at t = {theirs['t'][-1]:g}."
    )


def _caption(entry: Entry) -> str:
    parts = [f"run {entry.name}", entry.preset, f"setting {entry.setting}" if entry.setting else None, entry.protocol]
    parts.append(f"seed {entry.seed}" if entry.seed is not None else None)
    return ", ".join(part for part in parts if part)


def _series(entry: Entry, key: str) -> list:
    return entry.number(f"posterior_mean.{key}") or []
