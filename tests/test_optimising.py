"""Sweeps that optimise: each trial a job like any other, chosen by what the trials before it found."""

import builtins
import json
import shutil

import numpy
import pandas
import pytest
from helpers import answer_here, over, refused

import scorelab
from scorelab.errors import ConfigError
from scorelab.figures import trials as of_trials
from scorelab.lab import asking
from scorelab.lab.asking import recorded
from scorelab.lab.runs import Run
from scorelab.lab.space import Search, parse
from scorelab.lab.trials import best_of

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'scorelab[optimise]'")

#: a study whose number is known: a bowl with its least value 0 at width 4, side right, lr 0.01
BOWL = """
import math, sys
from scorelab.studies import Study

class Bowl(Study):
    uses = ()
    stages = {"analyse": lambda study, context: study.measure(context)}
    goal = "bowl.height"
    width: int
    lr: float
    side: str
    crash: str
    def measure(self, context):
        if self.side == self.crash:
            raise ValueError("no bowl")
        height = (self.width - 4) ** 2 + math.log10(self.lr / 0.01) ** 2 + (self.side == "left")
        context.update_metrics("bowl", {"height": height, "height_standard_error": 0.1, "width": self.width,
                                        "odd": float("nan") if self.width % 2 else 1.0})
"""
SPACE = ("study.width=range(1,9)", "study.lr=tag(log,interval(1e-4,1))", "study.side=left,right")
OPTIMISE = ("hydra/sweeper=optimise",)

SEARCH = ("study.crash=left", "hydra.sweeper.options={n_startup_trials:3}")


@pytest.fixture(scope="module")
def bowl(tmp_path_factory):
    """The folder of somebody whose study is the bowl."""
    where = tmp_path_factory.mktemp("bowl")
    (where / "bowl_lab.py").write_text(BOWL)
    (where / "conf" / "study").mkdir(parents=True)
    keys = "_target_: bowl_lab.Bowl\nwidth: 4\nlr: 0.01\nside: right\ncrash: none\n"
    (where / "conf" / "study" / "bowl.yaml").write_text(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(where)
        yield where


def optimise(bowl, *words):
    own = ("-m", "--config-dir", "conf", "study=bowl", "extensions=[bowl_lab]")
    return answer_here(*own, *OPTIMISE, *words, cwd=bowl)


@pytest.fixture(scope="module")
def whole(bowl):
    """The directory of a sweep of six trials, some of which fail, that nobody disturbed; what it answered."""
    done = optimise(bowl, *SPACE, *SEARCH, "hydra.sweeper.n_trials=6", "hydra.sweep.dir=whole")
    return bowl / "whole", done


def asked(directory):
    return [Run(directory / str(number)).overrides for number in range(6)]


def test_each_trial_is_a_job_and_the_best_one_stands_on_the_page(whole):
    directory, done = whole
    assert done["status"] == 0, done
    table = pandas.read_csv(directory / "sweep.csv")
    best = int(table["bowl.height"].idxmin())
    assert len(table) == 6
    assert f"best trial {best}: bowl.height = {table['bowl.height'][best]:.2f} ± 0.10" in done["out"]
    page = (directory / "sweep.md").read_text()
    assert f"\n| {best} | " in page.partition("## Best trial")[2]
    assert "![trials](figures/trials.png)" in page
    arrays = numpy.load(directory / "figures" / "trials.npz")
    numpy.testing.assert_array_equal(arrays["values"][:, 0], table["bowl.height"])


def test_later_trials_are_better_than_those_by_chance():
    _, space = parse([*SPACE], None)
    study, search, heights = asking.new_study(["minimise"]), Search(), []
    for _ in range(40):
        width, lr, side = (trial := asking.ask(study, search, space)).params.values()
        heights.append((width - 4) ** 2 + numpy.log10(lr / 0.01) ** 2 + (side == "left"))
        study.tell(trial, heights[-1])
    assert numpy.median(heights[20:]) < 0.5 * numpy.median(heights[:10])


def test_from_python_the_result_has_the_trials(bowl):
    words = ["study=bowl", "extensions=[bowl_lab]", *OPTIMISE, "study.width=range(3,6)", "hydra.sweeper.n_trials=2"]
    result = scorelab.sweep(words, bowl / "python", bowl / "conf")
    assert len(result.table) == 2
    assert list(result.figures) == ["trials"]
    assert "Best trial" in str(result)


def test_a_trial_that_fails_is_a_row_and_is_told(whole):
    directory, done = whole
    table = pandas.read_csv(directory / "sweep.csv")
    failed = [job for job, side in zip(table["job"], table["study.side"], strict=True) if side == "left"]
    assert 0 < len(failed) < 6  # as the seed has it
    assert list(table.index[table["state"] == "failed"]) == failed
    study = recorded(directory, ["minimise"])
    states = [trial.state.name for trial in study.trials]
    assert [number for number, state in enumerate(states) if state == "FAIL"] == failed
    assert f"trial {failed[0]}: failed; best: " in done["out"]


def test_a_number_that_is_not_finite_fails_its_trial(bowl):
    words = ["study.width=range(1,4)", "hydra.sweeper.sampler=grid", "hydra.sweeper.objective=bowl.odd"]
    done = optimise(bowl, *words, "hydra.sweep.dir=odd")
    assert done["status"] == 0, done
    table = pandas.read_csv(bowl / "odd" / "sweep.csv").set_index("study.width")
    assert list(table.sort_index()["state"]) == ["failed", "done", "failed"]
    assert table["error"][1] == "bowl.odd = None: a finite number is needed to optimise it"
    assert "every point of the grid has its trial" in done["out"]


def test_a_sweep_that_was_killed_goes_on_as_if_nothing_had_happened(whole, bowl):
    """Killed in the middle of its fifth trial, while it wrote a line of its record."""
    untouched, _ = whole
    directory = shutil.copytree(untouched, bowl / "killed")
    record, kept = directory / "optuna.jsonl", []
    for line in record.read_bytes().splitlines(keepends=True):
        told = json.loads(line)
        if told["op_code"] == 6 and told["trial_id"] == 4:  # a trial gets its state and its values
            break
        kept.append(line)
    record.write_bytes(b"".join(kept) + b'{"op_code":6,"tri')
    (directory / "optuna.jsonl.lock").touch()
    saved = json.loads((directory / "sweep.json").read_text())
    (directory / "sweep.json").write_text(json.dumps(saved | {"jobs": saved["jobs"][:5]}))
    shutil.rmtree(directory / "5")
    Run(directory / "4").mark("running", stages=[])
    (directory / "4" / "metrics.json").unlink()
    done = answer_here("-m", "--config-dir", "conf", "sweep.resume=killed", "extensions=[bowl_lab]", cwd=bowl)
    assert done["status"] == 0, done
    assert asked(directory) == asked(untouched)
    one, other = (pandas.read_csv(place / "sweep.csv")["bowl.height"] for place in (directory, untouched))
    numpy.testing.assert_array_equal(one, other)

    more = optimise(bowl, "sweep.resume=killed", "hydra.sweeper.n_trials=7", "hydra.sweeper.options={}")
    assert "of another search: hydra.sweeper.options: {'n_startup_trials': 3} -> {}" in more["err"]
    other = optimise(bowl, "sweep.resume=killed", "hydra.sweeper.n_trials=7", "study.crash=right")
    assert "of another search: study.crash=right; it has" in other["err"]
    more = optimise(bowl, "sweep.resume=killed", "hydra.sweeper.n_trials=7")
    assert more["status"] == 0, more
    assert len(pandas.read_csv(directory / "sweep.csv")) == 7


def test_a_sweep_of_somebody_else_looks_up_nothing(whole, bowl):
    directory = shutil.copytree(whole[0], bowl / "foreign")
    saved = json.loads((directory / "sweep.json").read_text())
    words = saved["optimise"]["words"]
    for word, says in (
        ("study.side=${oc.env:HOME}", "is looked up only where the command line gives it again"),
        ("hydra.callbacks.x._target_=os.system", "which is not of a job"),
    ):
        saved["optimise"]["words"] = [*words, word]
        (directory / "sweep.json").write_text(json.dumps(saved))
        done = answer_here("-m", "--config-dir", "conf", "sweep.resume=foreign", "extensions=[bowl_lab]", cwd=bowl)
        assert done["status"] == 2, done
        assert says in done["err"]


def test_several_objectives_have_a_front(bowl):
    goals = ["hydra.sweeper.objective=[bowl.height,bowl.width]", "hydra.sweeper.directions=[minimise,maximise]"]
    words = ["study.width=range(3,7)", "hydra.sweeper.sampler=grid"]
    done = optimise(bowl, *goals, *words, "hydra.sweeper.n_jobs=3", "hydra.sweep.dir=front")
    assert done["status"] == 0, done
    table = pandas.read_csv(bowl / "front" / "sweep.csv").set_index("job")["study.width"]
    page = (bowl / "front" / "sweep.md").read_text().partition("## Pareto front")[2]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert [table[int(row[0].strip("| "))] for row in rows] == [4, 5, 6]
    (axes,) = of_trials.figure(dict(numpy.load(bowl / "front" / "figures" / "trials.npz"))).axes
    assert axes.get_ylabel() == "bowl.width (maximised)"


def test_the_best_is_the_first_of_equals_and_a_front_has_what_nothing_beats(generator):
    nan = numpy.nan
    assert best_of(numpy.array([[nan], [3.0], [1.0], [1.0]]), ["minimise"]) == [2]
    assert best_of(numpy.array([[nan]]), ["maximise"]) == []
    values = numpy.random.default_rng(0).normal(size=(60, 3))
    values[3, 1] = nan
    signs = numpy.array([1, -1, 1])
    known = [row for row in range(60) if row != 3]
    beaten = {
        row
        for row in known
        for other in known
        if (signs * values[other] <= signs * values[row]).all() and (values[other] != values[row]).any()
    }
    front = best_of(values, ["minimise", "maximise", "minimise"])
    assert sorted(front) == sorted({*known} - beaten)
    assert list(values[front, 0]) == sorted(values[front, 0])


def test_every_sampler_chooses_what_the_space_has_and_the_same_again(bowl):
    _, space = parse([*SPACE[:1], *SPACE[2:], "a=range(0,1,0.25)", "b=int(interval(2,5))"], None)
    for name in asking.SAMPLERS:
        dimensions = space[:3] if name == "grid" else space
        search = Search(sampler=name, n_trials=6, seed=3, n_jobs=2)
        runs = []
        for _ in range(2):
            study = asking.new_study(["minimise"])
            trials = [asking.ask(study, search, dimensions) for _ in range(6)]
            runs.append([[each.override(trial.params[each.key]) for each in dimensions] for trial in trials])
        assert runs[0] == runs[1], name
        assert len({*map(tuple, runs[0])}) > 3, name
        values = {word for words in runs[0] for word in words if word.startswith("a=")}
        assert values <= {"a=0.0", "a=0.25", "a=0.5", "a=0.75"}, name


@over(
    ("words", "says"),
    [
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials = 0: allowed is an integer >= 1"),
        (["hydra.sweeper.sampler=cma"], "hydra.sweeper.sampler = cma: must be 'tpe', 'random', 'qmc'"),
        (["hydra.sweeper.sampler=grid"], "study.lr: an interval has no grid"),
        (
            ["hydra.sweeper.options={n_startup:3}"],
            "options.n_startup: no option of TPESampler; did you mean n_startup_",
        ),
        (["hydra.sweeper.directions=down"], "hydra.sweeper.directions.0 = down: must be 'minimise' or 'maximise'"),
        (["study.crash=range(3,3)"], "study.crash=range(3,3): has no values"),
        (["study.crash=interval(3,1)"], "study.crash=interval(3,1): the end of an interval has to be above its start"),
        (["study.crash=[1]"], "no trial can run; the first one is #0 study=bowl"),
        (["sweep.jobs=jobs.yaml"], "sweep.jobs: is a list of jobs, and hydra/sweeper=optimise chooses the jobs"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(words, says, bowl, tmp_path):
    done = optimise(bowl, *SPACE, *words, f"hydra.sweep.dir={tmp_path / 'new'}")
    assert done["status"] == 2, done
    assert says in done["err"], done["err"]
    assert len(done["err"].strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_number_that_no_study_declares_is_refused_with_the_nearest_name(bowl, tmp_path):
    words = ["-m", *OPTIMISE, "seed=range(0,5)", f"hydra.sweep.dir={tmp_path / 'new'}"]
    done = answer_here(*words, "hydra.sweeper.objective=path_kl.totl", cwd=bowl)
    assert "objective = path_kl.totl: no number of the study Generate; did you mean path_kl.total?" in done["err"]
    done = answer_here(*words[:2], "seed=0", cwd=bowl)
    assert "nothing to search: values are needed" in done["err"]
    done = answer_here(*words, "study=conditional_mean", cwd=bowl)
    assert "hydra.sweeper.objective: is needed, as the study ConditionalMean declares no goal" in done["err"]


def test_a_dry_run_lists_the_first_trials_and_starts_none(whole, bowl):
    done = optimise(bowl, *SPACE, *SEARCH, "hydra.sweeper.n_trials=3", "sweep.dry_run=true")
    assert done["status"] == 0, done
    first = [f"job #{number}  {' '.join(words)}  (" for number, words in enumerate(asked(whole[0])[:3])]
    assert all(line in done["out"] for line in first), (first, done["out"])
    assert "searched: study.lr: a number from 0.0001 to 1, even in its logarithm" in done["out"]
    assert "3 trials by tpe: minimise bowl.height" in done["out"]


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'scorelab[optimise]'" in refused(ConfigError, asking.require_optuna)


def test_optunas_own_tools_read_the_record(whole):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(whole[0] / "optuna.jsonl")))
    study = optuna.load_study(study_name="scorelab", storage=storage)
    table = pandas.read_csv(whole[0] / "sweep.csv")
    assert study.best_trial.number == table["bowl.height"].idxmin()
    assert study.best_value == pytest.approx(table["bowl.height"].min())
