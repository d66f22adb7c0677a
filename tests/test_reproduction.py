"""The report of a reproduction: what it says are the numbers of the runs."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml
from matplotlib.figure import Figure as Drawing

from scorelab.errors import ScorelabError
from scorelab.reproduction import write_report
from scorelab.reproduction.collect import collect
from scorelab.reproduction.semester.figures import FIGURES, published_numbers

RELU = published_numbers()["relu"]
TANH = published_numbers()["tanh"]
PHASES = published_numbers()["phase_aware_tanh"]
BUDGETS = {1: (5000, 100), 2: (20000, 25)}


RECOVERY = {
    "protocol": "author",
    "objective": "stochastic_localization",
    "samples": 100,
    "steps": [1500, 20000],
    "initial_cosine": [0.1, 0.05],
    "diverged_count": 0,
    "floor": 1.13,
    "floor_deviation": 0.07,
    "stage1_cosine_mean": 0.9968,
    "stage1_cosine_standard_error": 0.0002,
    "stage2_cosine": [0.99998, 0.99999],
    "stage2_cosine_mean": 0.999985,
    "stage2_cosine_standard_error": 5e-6,
    "stage1_distance_mean": 34.9,
    "stage1_distance_standard_error": 0.4,
    "stage2_distance_mean": 1.134,
    "stage2_distance_standard_error": 0.042,
    "population": {"stage2_distance_mean": 5e-7},
}


def metrics(w1=0.05, weight=0.66, errors=RELU["percent"], steps=10000, T=99.33, times=RELU["t"]):
    return {
        "training": {"steps": steps},
        "sampling": {"T": T},
        "projection": {
            "w1": w1,
            "w1_standard_error": 0.0031,
            "w1_floor": 0.006125,
            "w1_floor_deviation": 0.0035,
            "ks": 0.0977,
            "ks_standard_error": 0.0045,
            "mode_weight": weight,
            "mode_weight_standard_error": 0.0066,
            "mode_weight_exact": 0.7,
        },
        "path_kl": {"total": 39.05, "standard_error": 0.56},
        "posterior_mean": {
            "t": times,
            "relative_error": [percent / 100 for percent in errors],
            "relative_error_standard_error": [0.001] * len(errors),
        },
    }


def add(directory, name, preset, setting, numbers=None, state="done", error=None, protocol="paper"):
    run = directory / name
    (run / "figures").mkdir(parents=True)
    overrides = [f"+experiment={preset}", f"setting={'null' if setting is None else setting}"]
    N, epochs = BUDGETS.get(setting, (5000, 100))
    config = {
        "setting": setting,
        "seed": 0,
        "training": {"protocol": protocol, "N": N, "epochs": epochs},
        "denoiser": {"L": 3, "m": 256},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "status.json").write_text(json.dumps({"state": state, "error": error, "overrides": overrides, "stages": []}))
    if numbers:
        (run / "metrics.json").write_text(json.dumps(numbers))
        for picture in ("projection", "posterior_mean", "two_stage", "errors"):
            Drawing(figsize=(0.2, 0.2)).savefig(run / "figures" / f"{picture}.png")


@pytest.fixture
def sweep(tmp_path):
    """Runs of every figure, one that failed and one that was not begun."""
    add(tmp_path, "0", "fig01_exact", None, metrics(0.0059, 0.699, steps=0))
    add(tmp_path, "1", "fig02_relu", 1, metrics(0.070432))
    add(tmp_path, "2", "fig02_relu", 2, metrics(0.115273, errors=[1.1 * value for value in RELU["percent"]]))
    add(tmp_path, "3", "fig04_tanh", 2, metrics(0.15, errors=[1.2 * value for value in TANH["percent"]]))
    add(tmp_path, "4", "fig06_mixture_tanh", 1, metrics(0.0117, 0.705, T=10.45))
    phases = metrics(0.143, T=24.34, times=PHASES["t"], errors=[0.9 * value for value in PHASES["percent"]])
    add(tmp_path, "5", "fig07_phase_aware", 2, phases)
    add(tmp_path, "6", "fig04_tanh", 1, state="failed", error="training: the loss is nan | after <3> steps")
    jobs = [["+experiment=fig01_exact"]] * 7 + [["+experiment=fig06_mixture_relu", "setting=2"]]
    add(tmp_path, "8", "fig09_two_stage", None, {"two_stage": RECOVERY})
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    return tmp_path


class Page(HTMLParser):
    """The tables and pictures of a page, and everything that it would load."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.loads, self.values = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.loads += [attributes[key] for key in ("src", "href", "srcset", "poster", "data") if key in attributes]
        if tag == "img" and attributes.get("alt"):
            self.images.append(attributes["alt"])
        if tag == "link":
            self.loads.append(tag)
        if "data-value" in attributes:
            self.values.append(float(attributes["data-value"]))


def section(text, number):
    return re.search(rf"^## Figure {number}:.*?(?=^## )", text, re.MULTILINE | re.DOTALL).group()


def conclusion(directory, number):
    write_report(directory)
    return re.search(r"\*\*(.*)\*\*", section((directory / "report.md").read_text(), number)).group(1)


def change(directory, name, section, **values):
    path = directory / name / "metrics.json"
    content = json.loads(path.read_text())
    content[section] |= values
    path.write_text(json.dumps(content))


def test_both_files_have_every_run_that_is_done(sweep):
    paths = write_report(sweep)
    assert [path.name for path in paths] == ["report.md", "report.html"]
    text, page = (path.read_text() for path in paths)
    assert "7 of 9 runs are done" in text
    for name in range(6):
        assert re.search(rf"^\| {name} \| fig0", text, re.MULTILINE)
        assert any(caption.startswith(f"run {name},") for caption in Page(page).images)
    for link in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (sweep / link).is_file()


def test_a_published_report_has_its_pictures_beside_it(sweep, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("9-projection.png", "other.png"):
        (folder / name).write_text("a picture")
    (folder / "report.md").write_text("![of an earlier report](9-projection.png)")
    assert write_report(sweep, folder)[2] == folder / "report.md"
    links = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (folder / "report.md").read_text())
    assert {path.name for path in folder.glob("*.png")} == {*links, "other.png"}
    assert "5-posterior_mean.png" in links
    text = (sweep / "report.md").read_text()
    assert (folder / "report.md").read_text() == re.sub(r"\((\d)/figures/", r"(\1-", text)


def test_the_page_needs_nothing_else(sweep):
    page = write_report(sweep)[1].read_text()
    loads = Page(page).loads
    assert loads
    assert all(load.startswith(("data:image/png;base64,", "#")) for load in loads)
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"@import|url\(", page)


def test_both_files_begin_with_links_to_their_headings(sweep):
    text, page = (path.read_text() for path in write_report(sweep))
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(headings) > 5
    assert [name for name, _ in re.findall(r"^- \[(.*)\]\(#(.*)\)$", text, re.MULTILINE)] == headings
    links, anchors = re.findall(r'<a href="#([^"]*)">', page), re.findall(r'<h2 id="([^"]*)">', page)
    assert links == anchors
    assert len(set(anchors)) == len(headings)


def test_the_numbers_are_those_of_the_runs(sweep):
    text, page = (path.read_text() for path in write_report(sweep))
    values = Page(page).values
    for name in range(6):
        numbers = json.loads((sweep / str(name) / "metrics.json").read_text())
        for key in ("w1", "w1_floor", "ks", "mode_weight", "mode_weight_exact"):
            assert numbers["projection"][key] in values
        assert numbers["path_kl"]["total"] in values
    for error in json.loads((sweep / "2" / "metrics.json").read_text())["posterior_mean"]["relative_error"]:
        assert error in values
    assert "| 0.0704 ± 0.0031 | 0.0061 | 11.5 | 0.0977 ± 0.0045 | 0.6600 ± 0.0066 | 0.7 | 39.05 ± 0.56 |" in text
    assert "| 99.33 | 5 % | 20000 | 25 | 10000 | L=3, m=256 | 0 |" in section(text, 2)


def test_only_setting_2_is_a_figure_of_posterior_means(sweep):
    figures = {figure.number: figure for figure in FIGURES}
    runs = {entry.name: entry for entry in collect(sweep)}
    assert [n for n in figures if figures[n].has(runs["1"])] == [2]
    assert [n for n in figures if figures[n].has(runs["2"])] == [2, 3]
    assert [n for n in figures if figures[n].has(runs["5"])] == [7, 8]


def test_the_published_errors_are_beside_ours(sweep):
    write_report(sweep)
    text = (sweep / "report.md").read_text()
    assert ["/errors.png" in section(text, number) for number in range(1, 10)] == [n in (3, 5, 8) for n in range(1, 10)]
    assert "| 0.01 | 25.97 | 28.57 ± 0.10 | 1.10 |" in section(text, 3)
    assert "| 0.01 | 30.51 | 36.61 ± 0.10 | 1.20 |" in section(text, 5)
    assert "| 0.01 | 25.03 | 22.53 ± 0.10 | 0.90 |" in section(text, 8)


def test_errors_at_other_times_than_the_published_ones_are_not_held_against_them(sweep):
    change(sweep, "5", "posterior_mean", t=[t * 1.1 + 0.02 for t in PHASES["t"]])
    write_report(sweep)
    text = section((sweep / "report.md").read_text(), 8)
    assert "ratio" not in text
    assert "another grid of 24 angles" in text
    assert "it is below that of the single tanh network of equal N and epochs at" in text


def test_recovery_ends_where_its_samples_allow(sweep):
    assert "2 of 2 starts came to an end: |cos| after stage 2 is at least 0.99998" in conclusion(sweep, 9)
    assert "1.134 ± 0.042, at the 1.130 that 100 samples allow" in conclusion(sweep, 9)
    change(sweep, "8", "two_stage", stage2_distance_mean=2.81)
    assert "not at the 1.130" in conclusion(sweep, 9)
    text = section((sweep / "report.md").read_text(), 9)
    assert "| 8 | author | stochastic_localization | 2 | 0 | 1500 + 20000 | 0.99680 ± 0.00020 |" in text


def test_what_is_not_done_is_listed_with_its_error(sweep):
    text, page = (path.read_text() for path in write_report(sweep))
    assert (
        "| 6 | failed | training: the loss is nan \\| after &lt;3> steps | +experiment=fig04_tanh setting=1 |" in text
    )
    assert "the loss is nan | after &lt;3&gt; steps" in page
    assert "| 7 | pending | — | +experiment=fig06_mixture_relu setting=2 |" in text


def test_a_damaged_run_is_listed_and_takes_no_other_with_it(sweep):
    (sweep / "1" / "metrics.json").write_text("{")
    text = write_report(sweep)[0].read_text()
    assert "| 1 | unreadable | " in text
    assert "6 of 9 runs are done" in text


def test_a_number_that_json_cannot_hold_is_a_gap(sweep):
    change(sweep, "1", "projection", w1=None, w1_standard_error=None)
    text = write_report(sweep)[0].read_text()
    assert "| paper | — | 0.0061 | — |" in section(text, 2)


def test_conclusions_follow_the_numbers(sweep):
    assert conclusion(sweep, 1).startswith("W1 is 0.0059, 0.963 times its floor of 0.0061, at the floor")
    assert conclusion(sweep, 2).startswith("The best W1 is 0.0704, 11.5 times its floor")
    assert "at the floor: 0 of 2 runs; mode weight within 2 s.e. of the exact one: 0 of 2" in conclusion(sweep, 2)
    change(sweep, "1", "projection", w1=0.0062, mode_weight=0.701)
    assert conclusion(sweep, 2).startswith("The best W1 is 0.0062, 1.01 times its floor")
    assert "at the floor: 1 of 2 runs; mode weight within 2 s.e. of the exact one: 1 of 2" in conclusion(sweep, 2)

    assert "12 of 12 relative errors are within a factor of 1.5" in conclusion(sweep, 3)
    change(sweep, "2", "posterior_mean", relative_error=[value / 50 for value in RELU["percent"]])
    assert "0 of 12 relative errors are within a factor of 1.5" in conclusion(sweep, 3)
    assert "12 are larger and 0 smaller (ratios 2.00 to 2.00)" in conclusion(sweep, 3)

    assert "24 of 24 relative errors are within a factor of 1.5" in conclusion(sweep, 8)
    times = [0.9 * t for t in PHASES["t"]]
    change(sweep, "5", "posterior_mean", t=times, relative_error=[1e-3] * 24)
    assert "below that of the single tanh network of equal N and epochs at 12 of its 12 angles" in conclusion(sweep, 8)


def test_a_w1_that_few_samples_carry_is_called_so(sweep):
    assert "carry" not in conclusion(sweep, 6)
    change(sweep, "4", "projection", w1=2.2, w1_standard_error=2.1)
    assert "a few samples carry the W1 of run 4" in conclusion(sweep, 6)


def test_the_protocols_are_told_apart_from_their_own_values(sweep):
    text = write_report(sweep)[0].read_text()
    assert "| t at which the phases switch | 1 | 2 |" in text
    assert "| share of the N samples that validates | 0 | 0.4 |" in text
    assert "| network of setting 4 | L=6, m=512 | L=3, m=256 |" in text


def test_nothing_to_report_is_one_line(tmp_path):
    with pytest.raises(ScorelabError, match=r"^.*: no run directory below it$"):
        write_report(tmp_path)
    command = [sys.executable, "-m", "scorelab.reproduction", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}: no run directory below it\n"
    assert not list(tmp_path.iterdir())
