"""report.html: the page of a run."""

import html
import re

import pytest
from conftest import SMALL
from helpers import over
from scipy import stats

import scorelab
from scorelab.lab.page import limit, sentence
from scorelab.lab.runs import Run
from scorelab.studies.base import Number


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with pictures, in a directory with an odd name."""
    directory = tmp_path_factory.mktemp("a <b> & c") / "run"
    small = [*SMALL, "study.trajectories=0", "training.epochs=2", "figures.formats=[png]"]
    return scorelab.run(small, directory).directory


def text_of(directory):
    """The words of the page without its markup, and the page."""
    page = (directory / "report.html").read_text()
    return html.unescape(re.sub(r"<[^>]+>", " ", page)), page


def test_the_page_of_a_run_has_its_numbers_figures_and_command(done):
    text, page = text_of(done)
    metrics = Run(done).metrics
    assert "Of 3 numbers that exact samples have as well, " in text
    for shown in (metrics["run"]["fingerprint"], "python run.py", "training.epochs=2", "W1 of the projection"):
        assert shown in text
    assert page.count("data:image/png;base64,") == len(list((done / "figures").glob("*.png")))
    assert "Samples projected on the signal direction" in text
    assert str(done) in text
    assert 'src="http' not in page


def test_the_page_is_written_again_with_a_stage(done):
    (done / "report.html").unlink()
    scorelab.run(["stage=plot", f"run='{done}'", "figures.formats=[]"])
    assert "How to repeat it" in text_of(done)[0]


@over(
    "case",
    [
        ({"w1": 0.02, "w1_floor": 0.01, "w1_floor_deviation": 0.001}, "2 times the floor, 10 deviations", True),
        ({"w1": 0.009, "w1_floor": 0.01, "w1_floor_deviation": 0.001}, "0.9 times the floor, 0 deviations", False),
        ({"w1": 0.02, "w1_floor": 0.01}, "2 times the floor", None),
        ({"w1": 0.02}, None, None),
    ],
)
def test_a_number_beside_its_floor(case):
    metrics, says, differs = case
    found = sentence(Number("w1", "W1", held="floor"), metrics)
    assert (found is None) == (says is None)
    if found:
        assert found[0].startswith(says)
        assert found[1] is differs


def test_a_number_beside_its_exact_value():
    number = Number("weight", "weight", held="exact")
    metrics = {"weight": 0.75, "weight_standard_error": 0.01, "weight_exact": 0.7}
    assert sentence(number, metrics) == ("5 standard errors from the exact value", True)
    assert sentence(number, metrics | {"weight_standard_error": 0.1})[1] is False
    assert sentence(number, metrics | {"weight": [0.75, 0.1]}) is None
    assert sentence(number, metrics | {"weight_exact": [0.7]}) is None


def test_an_error_over_few_replicas_needs_more_of_its_kind():
    """Four standard errors of a mean over two replicas come about in 16 per cent of the cases."""
    rare = 2 * stats.norm.sf(4)
    for count in (2, 3, 10):
        found = limit({"replicas": {"count": count}})
        assert 2 * stats.t.sf(found, count - 1) == pytest.approx(rare, rel=1e-6)
    assert limit({}) == 4
