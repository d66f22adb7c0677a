"""The report of the thesis: printed figures, ours, and sentences that are computed from the numbers."""

import json

import pytest
import yaml

from scorelab.lab.pages import sections
from scorelab.reproduction import write_report
from scorelab.reproduction.thesis import FIGURES

SGD = {
    "gamma": 0.01,
    "threshold": 0.286,
    "end": {
        "mean_square": 2.56e-4,
        "mean_square_standard_error": 0.05e-4,
        "mean_square_exact": 2.59e-4,
        "modified": 2.58e-4,
        "ou": 2.5e-4,
    },
    "diverged": {"share": 0.0, "share_standard_error": 0.0},
}
DIVERGED = {"gamma": 0.1, "threshold": 0.0206, "end": {}, "diverged": {"share": 1.0, "share_standard_error": 0.0}}
IMAGES = {
    "recognised": 0.91,
    "recognised_standard_error": 0.012,
    "recognised_floor": 0.94,
    "memorised": 0.002,
    "memorised_standard_error": 0.001,
    "memorised_floor": 0.0,
}
BOUND = {"bound": 182.251, "nll": 182.235, "gap": 0.0157, "gap_standard_error": 0.0003, "flow": 182.2351, "steps": 1000}


@pytest.fixture
def directory(tmp_path):
    def add(name, preset, numbers, study=None, seed=0):
        run = tmp_path / name
        run.mkdir()
        overrides = [f"+experiment={preset}"]
        (run / "config.yaml").write_text(yaml.safe_dump({"seed": seed, "study": study or {}}))
        (run / "status.json").write_text(json.dumps({"state": "done", "overrides": overrides, "stages": []}))
        (run / "metrics.json").write_text(json.dumps(numbers))

    add("0", "thesis_fig01", {"sgd": SGD}, {"protocol": "text", "law": "constant"})
    add("1", "thesis_fig07", {"sgd": DIVERGED}, {"protocol": "author", "law": "constant"})
    add("2", "thesis_bound", {"likelihood": BOUND})
    add("3", "thesis_fig18", {"images": IMAGES})
    for seed, loss in enumerate((0.020, 0.022, 0.024)):
        add(str(4 + seed), "thesis_fig19", {"training": {"loss": loss, "steps": 540}}, seed=seed)
    return tmp_path


def test_every_figure_says_what_is_printed_and_what_is_found(directory):
    text = write_report(directory)[0].read_text()
    for figure in FIGURES:
        assert f"## {figure.title}\n\nPrinted: {figure.printed}" in text
    assert "is within 4 s.e. of its exact value in 1 of 1 runs, at most 0.6 s.e. away" in text
    assert "n run 1 (author) 100 % of the descents diverge: the step 0.1 is above 0.0206" in text
    assert "the bound 182.25 is 0.01570 ± 0.00030 nats above the negative log-likelihood 182.24" in text
    assert "0.910 ± 0.012 of the samples are recognised, and 0.2 % are copies of training images (held-out" in text
    assert "The loss of the last record is 0.0220 ± 0.0012 over 3 runs" in text
    assert "No run of it is done." in text  # of figure 16, for instance


def test_a_number_that_is_far_from_its_exact_value_is_not_called_equal(directory):
    end = SGD["end"] | {"mean_square": 5e-4}
    (directory / "0" / "metrics.json").write_text(json.dumps({"sgd": SGD | {"end": end}}))
    text = write_report(directory)[0].read_text()
    assert "is within 4 s.e. of its exact value in 0 of 1 runs, at most 48 s.e. away" in text


def test_every_number_of_the_report_is_one_that_a_study_declares():
    declared = {key for section in sections() for key in section.keys}
    for figure in FIGURES:
        for key in figure.kind.columns.values():
            assert key in declared, (figure.title, key)
