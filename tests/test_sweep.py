"""Sweeps: one directory a job, gathered whatever becomes of the jobs."""

import datetime
import json
import runpy
import shutil

import numpy
import pandas
import pytest
from conftest import SMALL
from helpers import ROOT, answer_here, answers_of, over, refused, without_times

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures import comparison, losses
from scorelab.lab import sweep as lab_sweep
from scorelab.lab.gather import gather
from scorelab.lab.job_words import read_jobs
from scorelab.lab.jobs import mean_of, networks_of, summarise
from scorelab.lab.runs import Run
from scorelab.laws.estimate import mean_over_causes

DIVERGING = ("training.lr=1e-3,1e14", "seed=0,1", "training.clip=null", "training.warmup=0", "denoiser=relu")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep in which half of the jobs diverge: its answer and its directory, to be changed only in a copy."""
    where = tmp_path_factory.mktemp("sweep")
    return answer_here("-m", *SMALL, *DIVERGING, "hydra.sweep.dir=here", cwd=where), where / "here"


def test_a_failing_job_is_a_row_and_takes_no_other_with_it(sweep):
    done, directory = sweep
    table = pandas.read_csv(directory / "sweep.csv")
    assert list(table["state"]) == ["done", "done", "failed", "failed"]
    assert table["error"].str.contains("the loss is").sum() == 2
    assert done["status"] == 1


def test_all_failures_are_listed_at_the_end(sweep):
    done, _ = sweep
    for number in (2, 3):
        assert (
            f"job {number} (training.lr=100000000000000.0 seed={number - 2}) failed: training: the loss is"
            in done["out"]
        )


def test_the_error_is_in_the_jobs_own_log(sweep):
    _, directory = sweep
    assert "the loss is" in (directory / "2" / "run.log").read_text()
    assert "the loss is" not in (directory / "1" / "run.log").read_text()


def test_only_what_varies_is_a_column_and_seeds_are_grouped(sweep):
    _, directory = sweep
    table = gather(directory)
    assert table.attrs["parameters"] == ["training.lr", "seed"]
    summary = summarise(table)
    assert list(summary["count"]) == [2]
    values = table[table["state"] == "done"]["projection.w1"]
    assert summary["projection.w1"].iloc[0] == pytest.approx(values.mean())
    assert summary["projection.w1_standard_error"].iloc[0] == pytest.approx(values.std() / 2**0.5)
    text = (directory / "sweep.md").read_text()
    assert "| training.lr | count | W1 |" in text
    assert "## Not done" in text


def test_one_figure_shows_every_job(sweep):
    assert (sweep[1] / "figures" / "projection.png").stat().st_size > 5000


@pytest.fixture
def finished(tmp_path):
    """A sweep of three configurations of many keys, two of them with two seeds, as it lies on disk when it is done."""
    asked = [{"denoiser": "tanh"}, {"denoiser": "relu", "denoiser.m": 8}, {"denoiser.L": 1, "training.lr": 0.1, "N": 3}]
    for number in range(5):
        run, seed = tmp_path / str(number), number // 3
        run.mkdir()
        overrides = [f"{key}={value}" for key, value in {**asked[number % 3], "seed": seed}.items()]
        (run / "status.json").write_text(json.dumps({"state": "done", "overrides": overrides, "stages": []}))
        (run / "config.yaml").write_text(
            "{denoiser: {m: 256, L: 3}, training: {lr: 0.3}, N: 7, study: {_target_: scorelab.studies.Generate}}"
        )
        laws = {"w1": 0.1 + number, "w1_floor": 0.01, "mode_weight": 0.6, "mode_weight_exact": 0.7}
        (run / "metrics.json").write_text(json.dumps({"projection": laws, "path_kl": {"total": 2.0 * number + 1}}))
    return tmp_path


def test_of_several_seeds_a_figure_compares_the_configurations(finished):
    gather(finished)
    arrays = numpy.load(finished / "figures" / "comparison.npz")
    assert list(arrays["labels"]) == ["tanh", "relu, m=8", "L=1, lr=0.1, N=3"]
    numpy.testing.assert_array_equal(arrays["path_kl.total"], [[1, 7], [3, 9], [5, numpy.nan]])
    numpy.testing.assert_allclose(arrays["error.path_kl.total"], [3, 3, numpy.nan])
    assert arrays["exact.projection.mode_weight"].tolist() == [0.7] * 3
    left, middle, _ = comparison.figure(dict(arrays)).axes
    assert [text.get_text() for text in left.get_yticklabels()] == list(arrays["labels"])
    errors = [container.lines[0].get_xdata()[0] for container in middle.containers]
    assert errors == pytest.approx([1.6, 2.6, 2.1])


def test_trainings_that_differ_by_their_seed_have_a_band_of_losses(finished):
    for number in range(5):
        rows = [f"{epoch},{epoch},{10.0 * number + epoch},{number + 0.5},1.0" for epoch in (2, 4, 6)]
        lines = ["epoch,step,loss,validation_loss,bayes_risk", *rows]
        (finished / str(number) / "training.csv").write_text("\n".join(lines[: 3 if number == 4 else 4]))
    gather(finished)
    arrays = dict(numpy.load(finished / "figures" / "losses.npz"))
    assert list(arrays["titles"]) == ["tanh"]  # the others have one seed, or trainings of two lengths
    numpy.testing.assert_array_equal(arrays["0.loss"], [[2, 4, 6], [32, 34, 36]])
    numpy.testing.assert_array_equal(arrays["0.validation_loss"], [[0.5] * 3, [3.5] * 3])
    (axes,) = losses.figure(arrays).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [3] * 6 + [2]  # two runs and a mean each; the least value
    numpy.testing.assert_array_equal(axes.lines[2].get_ydata(), [17, 19, 21])
    band = axes.collections[0].get_paths()[0].get_extents()
    deviation = 30 / 2**0.5
    assert (band.y0, band.y1) == pytest.approx((17 - deviation, 21 + deviation))
    assert "![losses](figures/losses.png)" in (finished / "sweep.md").read_text()
    (finished / "0" / "training.csv").write_text("epoch,step,loss\n1,one,2\n")
    assert "0/training.csv: column step has text" in refused(ScorelabError, gather, finished)


def test_where_many_keys_are_swept_the_table_says_what_each_job_asked_for(finished):
    gather(finished)
    text = (finished / "sweep.md").read_text()
    assert "| configuration | count | W1 |" in text
    assert "| relu, m=8 | 2 | 2.6 ± 1.5 |" in text
    assert "![comparison](figures/comparison.png)" in text


def test_one_seed_each_is_not_compared(finished):
    for name in ("3", "4"):
        shutil.rmtree(finished / name)
    gather(finished)
    assert not (finished / "figures").exists()


def test_a_job_gives_the_same_numbers_alone(sweep, small, tmp_path, undrawn):
    _, directory = sweep
    alone = [*small, "training.lr=1e-3", "seed=1", "training.clip=null", "training.warmup=0", "denoiser=relu"]
    result = scorelab.run(alone, directory=tmp_path / "alone")
    assert without_times(result.metrics) == without_times(Run(directory / "1").metrics)


def test_gathering_works_on_a_sweep_that_is_not_finished(sweep, tmp_path, monkeypatch, capsys):
    directory = shutil.copytree(sweep[1], tmp_path / "copy")
    status = json.loads((directory / "0" / "status.json").read_text())
    (directory / "0" / "status.json").write_text(json.dumps(status | {"state": "running", "pid": 2**22 + 1}))
    (directory / "1" / "metrics.json").write_text('{"half": ')
    (directory / "1" / "status.json").write_text(json.dumps(status | {"state": "pending"}))
    monkeypatch.setattr("sys.argv", ["gather.py", str(directory)])
    runpy.run_path(str(ROOT / "scripts" / "gather.py"), run_name="__main__")
    assert "interrupted" in capsys.readouterr().out
    assert list(pandas.read_csv(directory / "sweep.csv")["state"]) == ["interrupted", "pending", "failed", "failed"]


def test_gathering_nothing_is_an_error(tmp_path):
    with pytest.raises(ScorelabError, match="no run directory"):
        gather(tmp_path)
    (tmp_path / "status.json").write_text('{"state": "done"}')
    with pytest.raises(ScorelabError, match="is one run, which is gathered with others"):
        gather(tmp_path)


def test_resuming_skips_what_is_done_and_does_the_rest(sweep, tmp_path, undrawn):
    directory = shutil.copytree(sweep[1], tmp_path / "here")
    whole = Run(directory / "1").metrics
    untouched = (directory / "0" / "metrics.json").stat().st_mtime_ns
    for path in (directory / "1").iterdir():  # as if the job had never started
        if path.name not in ("config.yaml", "status.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    Run(directory / "1").mark("interrupted", stages=[])
    again = answer_here("-m", "sweep.resume=here", cwd=tmp_path)
    assert again["status"] == 1, again  # half of the jobs diverge again
    assert (directory / "0" / "metrics.json").stat().st_mtime_ns == untouched
    assert without_times(Run(directory / "1").metrics) == without_times(whole)
    assert [Run(directory / name).state for name in "0123"] == ["done", "done", "failed", "failed"]

    listed = answer_here("-m", "sweep.resume=here", "sweep.dry_run=true", cwd=tmp_path)
    assert (listed["status"], listed["out"].count("job #")) == (0, 4)

    swept = [one.replace("seed=0,1", "seed=0,2") for one in DIVERGING]
    other = answer_here("-m", *SMALL, *swept, "sweep.resume=here", cwd=tmp_path)
    assert other["status"] == 2
    assert "of another configuration: job 1: seed: 1 -> 2" in other["err"]


def test_a_sweep_whose_name_is_taken_gets_another_directory(small, tmp_path):
    now = datetime.datetime.now()
    for second in range(-1, 120):  # as if other sweeps began in each of the seconds to come
        at = now + datetime.timedelta(seconds=second)
        (tmp_path / f"outputs/{at:%Y-%m-%d}/{at:%H-%M-%S}-sweep").mkdir(parents=True)
    done = answer_here("-m", *small, "seed=3,4", "stage=train", cwd=tmp_path)
    assert done["status"] == 0, done
    (table,) = tmp_path.glob("outputs/*/*/sweep.csv")
    assert table.parent.name.endswith("-sweep-2")


# Before anything starts. --------------------------------------------------------------------------------------------


@over("place", ["here", None])
def test_a_sweep_that_is_interrupted_before_it_has_begun_leaves_nothing(small, tmp_path, monkeypatch, place):
    frozen, frozen_job = [], lab_sweep.freeze

    def freeze(directory, job):
        frozen.append(directory)
        frozen_job(directory, job)
        if job.number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("scorelab.lab.sweep.freeze", freeze)
    words = ["-m", *small, "seed=0,1,2", *([f"hydra.sweep.dir={place}"] if place else [])]
    assert answer_here(*words, cwd=tmp_path)["status"] == 130
    assert len(frozen) == 2
    assert not frozen[0].exists()


def test_a_dry_run_lists_and_checks_every_job_and_starts_none(tmp_path):
    done = answer_here("-m", "sweep.dry_run=true", "denoiser=tanh", "denoiser.L=3,0", "seed=0,1", cwd=tmp_path)
    assert done["status"] == 2
    assert done["out"].count("job #") == 2
    assert done["err"].count("denoiser.L = 0: allowed is an integer >= 1") == 2
    assert "4 jobs, 2 that cannot run" in done["out"]
    unknown = answer_here("-m", "+sweep.dry_runn=true", "seed=0,1", cwd=tmp_path)
    assert unknown["status"] == 2
    assert "sweep.dry_runn: unknown key; did you mean dry_run?" in unknown["err"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_counted_twice(tmp_path):
    def told(*words):
        return answer_here("-m", *SMALL, "sweep.dry_run=true", *words, cwd=tmp_path)["err"].splitlines()

    assert told("seed=0,4,8", "replicas=4", "training.lr=1e-3,2e-3") == []
    (line,) = told("seed=0,1,2", "replicas=2")
    assert line.startswith("error: job #1 ")
    apart = "with replicas = 2 it has seed 1 in common with job #0; seeds that are 2 apart are needed"
    assert line.endswith(f"seed = 1: {apart}")
    assert [line[-40:] for line in told("seed=3,4,3")] == [" seed=3: seed = 3: job #0 is the same run"[-40:]]


def test_networks_and_the_noise_of_their_samples_both_count():
    """Runs of one network are no more networks, and runs with the same noise no more noise."""
    rows = [(seed, noise, w1) for seed, w1 in ((0, 1.0), (1, 3.0), (2, 2.0)) for noise in (0, 1, 2, 3)]
    table = pandas.DataFrame(rows, columns=["seed", "sampler.seed", "w1"])
    assert mean_of(table, "w1").keys("w1") == {"w1": 2.0, "w1_standard_error": pytest.approx(1 / 3**0.5)}
    assert mean_of(table[table["seed"] == 1], "w1").standard_error == 0
    assert list(networks_of(table)["seed"]) == [0, 1, 2]
    draws = numpy.random.default_rng(0)
    effects = draws.normal(0, 1, (3000, 3, 1)), draws.normal(0, 0.7, (3000, 1, 4)), draws.normal(0, 0.5, (3000, 3, 4))
    found = [mean_over_causes(values, table["seed"], table["sampler.seed"]) for values in sum(effects).reshape(-1, 12)]
    variance, squared = numpy.var([mean for mean, _ in found]), numpy.mean([error**2 for _, error in found])
    assert variance == pytest.approx(1 / 3 + 0.49 / 4 + 0.25 / 12, rel=0.1)
    assert squared == pytest.approx(1 / 3 + 0.49 / 4 + 2 * 0.25 / 12, rel=0.05)


def test_listed_jobs_are_paired_and_multiplied_with_what_is_swept(tmp_path):
    (tmp_path / "jobs.yaml").write_text(
        "- {training.N: 100, training.epochs: 2, target.a: {norm: 3.0}}\n"
        "- {training.N: 200, denoiser: relu, target.a: 0.5}\n"
    )
    done = answer_here("-m", "sweep.jobs=jobs.yaml", "sweep.dry_run=true", "seed=0,1", cwd=tmp_path)
    assert done["status"] == 0, done["err"]
    assert "job #1  training.N=100 training.epochs=2 target.a={norm:3.0} seed=1" in done["out"]
    assert "job #2  training.N=200 denoiser=relu target.a=0.5 seed=0" in done["out"]
    clash = answer_here("-m", "sweep.jobs=jobs.yaml", "sweep.dry_run=true", "training.N=1,2", cwd=tmp_path)
    assert clash["status"] == 2
    assert "job 0 and the command line both set training.N" in clash["err"]


def test_the_papers_settings_are_a_list_of_jobs(tmp_path):
    jobs = f"sweep.jobs={ROOT / 'scripts' / 'jobs' / 'paper_settings.yaml'}"
    done = answer_here("-m", jobs, "sweep.dry_run=true", "training=paper", "denoiser=relu", cwd=tmp_path)
    assert done["status"] == 0, done["err"]
    assert "job #3  training.N=20000 training.epochs=2000 denoiser.L=6 denoiser.m=512" in done["out"]


def test_a_bad_list_of_jobs_is_refused(tmp_path):
    for content in ("{a: 1}", "[]", "[1, 2]", "[", "- {}"):
        (tmp_path / "jobs.yaml").write_text(content)
        assert "sweep.jobs" in refused(ConfigError, read_jobs, tmp_path / "jobs.yaml"), content


# Processes of their own. --------------------------------------------------------------------------------------------

STUDIES = """
import sys
from pathlib import Path
from scorelab.studies import Generate

class Editing(Generate):
    def run_stage(self, stage, context):
        path = Path("conf/training/fast.yaml")
        path.write_text(path.read_text().replace("weight_decay: 1.0e-4", "weight_decay: 9.0"))
        super().run_stage(stage, context)

class Leaving(Generate):
    def run_stage(self, stage, context):
        if context.seed == 0:
            sys.exit(3)
        super().run_stage(stage, context)
"""


def test_neither_an_edited_file_nor_an_exit_of_a_job_reaches_the_next_one(small, tmp_path):
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "run.py", tmp_path / "run.py")
    (tmp_path / "own.py").write_text(STUDIES)
    for name in ("Editing", "Leaving"):
        (conf / "study" / f"{name}.yaml").write_text(f"defaults: [generate, _self_]\n_target_: own.{name}\n")
    asked = ["-m", *small, "seed=0,1", "extensions=[own]", "stage=train"]
    calls = [[*asked, f"study={name}", f"hydra.sweep.dir={name}"] for name in ("Leaving", "Editing")]
    (_, leaving), (_, editing) = answers_of(*calls, cwd=tmp_path, root=tmp_path)
    assert leaving["status"] == 1, leaving
    assert [Run(tmp_path / "Leaving" / name).state for name in "01"] == ["failed", "done"]
    assert editing["status"] == 0, editing
    assert "9.0" in (conf / "training" / "fast.yaml").read_text()
    for saved in ("config.yaml", ".hydra/config.yaml"):
        assert "weight_decay: 0.0001" in (tmp_path / "Editing" / "1" / saved).read_text()


def test_jobs_that_were_removed_are_named_and_the_others_go_on(sweep, tmp_path):
    shutil.copytree(sweep[1], tmp_path / "here")
    for number in (1, 2, 3):
        shutil.rmtree(tmp_path / "here" / str(number))
    answer = answer_here("-m", "sweep.resume=here", "sweep.dry_run=true", cwd=tmp_path)
    assert [line[:6] for line in answer["out"].splitlines()] == ["job #0", "4 jobs"]
    assert answer["err"].count("its directory was removed") == 3
