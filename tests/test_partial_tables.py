"""What a run that is stopped in the middle keeps: the rows that it has measured."""

import pandas
import pytest

import scorelab
from scorelab.lab import context
from scorelab.lab.runs import Run
from scorelab.progress import Progress

TINY = ("target.n=4", "sampler.count=64", "denoiser=exact", "training.enabled=false")
#: study -> small overrides, the table that grows, and after how many units of its progress the run is stopped
STUDIES = {
    "sampler_accuracy": ((*TINY, "study.repeats=2", "study.evaluations=[2,4]"), "accuracy.csv", 3),
    "processes": (("target=ising_small", "study.learn=[]", "study.count=200", "study.repeats=2"), "processes.csv", 2),
    "synchronization": (("study.strengths=[0.5,2]", "study.exact.matrices=2", "study.steps=4"), "exact.csv", 1),
    "learning": ((), "two_modes.csv", 2),
}


@pytest.fixture
def stopped(monkeypatch):
    """A function that stops a run, as Ctrl-C would, when its progress `what` is at `units`; tables grow at once."""
    monkeypatch.setattr(context, "_GROWS_EVERY", 0.0)

    def stop(overrides, directory, what, units):
        update = Progress.update

        def reported(self, done, note=""):
            update(self, done, note)
            if (what in (None, self.what)) and done >= units:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "update", reported)
        with pytest.raises(KeyboardInterrupt):
            scorelab.run(overrides, directory)
        monkeypatch.setattr(Progress, "update", update)
        assert Run(directory).state == "interrupted"

    return stop


def test_the_table_of_a_training_grows_and_goes_on_where_it_stopped(small, stopped, tmp_path):
    run = tmp_path / "run"
    stopped([*small, "training.epochs=6"], run, "training", 4)
    before = pandas.read_csv(run / "training.csv")
    assert before["epoch"].tolist() == [1, 2, 3]  # the fourth epoch was reported, and its row was to be written next
    scorelab.run([f"training.resume={run}"])
    after = pandas.read_csv(run / "training.csv")
    assert after["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    pandas.testing.assert_frame_equal(after[:3].drop(columns="seconds"), before.drop(columns="seconds"))


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_keeps_the_rows_that_it_has_measured(study, stopped, tmp_path):
    overrides, table, units = STUDIES[study]
    stopped([f"study={study}", *overrides, "threads=1", "figures.formats=[]"], tmp_path / "run", None, units)
    assert len(pandas.read_csv(tmp_path / "run" / table)) >= 1


def test_the_claims_that_are_judged_stay(stopped, tmp_path):
    overrides = ["study=claims", "claims.only=[S0-12,S0-13]", "claims.jobs=1", "claims.quick=true"]
    stopped([*overrides, "figures.formats=[]"], tmp_path / "run", None, 1)
    assert len(pandas.read_json(tmp_path / "run" / "claims.json")) == 1
