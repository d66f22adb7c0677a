"""Sweeps: one directory a job, gathered whatever becomes of the jobs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pandas
import pytest
from test_cli import ROOT, run_py
from test_run import without_times

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures import comparison
from scorelab.lab.gather import gather, summarise
from scorelab.lab.runs import Run
from scorelab.lab.sweep import read_jobs


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep in which half of the jobs diverge; a module-wide fixture, its jobs take seconds."""
    from conftest import SMALL

    where = tmp_path_factory.mktemp("sweep")
    swept = ["training.lr=1e-3,1e38", "seed=0,1", "training.clip=null", "training.warmup=0", "denoiser=relu"]
    done = run_py("-m", *SMALL, *swept, "hydra.sweep.dir=here", cwd=where)
    return done, where / "here"


def test_a_failing_job_is_a_row_and_takes_no_other_with_it(sweep):
    done, directory = sweep
    table = pandas.read_csv(directory / "sweep.csv")
    assert list(table["state"]) == ["done", "done", "failed", "failed"]
    assert table["error"].str.contains("the loss is").sum() == 2
    assert done.returncode == 1


def test_all_failures_are_listed_at_the_end(sweep):
    done, _ = sweep
    for number in (2, 3):
        assert f"job {number} (training.lr=1e+38 seed={number - 2}) failed: training: the loss is" in done.stdout


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
    assert (sweep[1] / "figures" / "projection.png").stat().st_size > 10_000


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
    assert float(arrays["exact.projection.mode_weight"]) == 0.7
    left, middle, _ = comparison.figure(dict(arrays)).axes
    assert [text.get_text() for text in left.get_yticklabels()] == list(arrays["labels"])
    errors = [container.lines[0].get_xdata()[0] for container in middle.containers]
    assert errors == pytest.approx([1.6, 2.6, 2.1])


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


def test_a_job_gives_the_same_numbers_alone(sweep, small, tmp_path):
    _, directory = sweep
    alone = [*small, "training.lr=1e-3", "seed=1", "training.clip=null", "training.warmup=0", "denoiser=relu"]
    result = scorelab.run(alone, directory=tmp_path / "alone")
    assert without_times(result.metrics) == without_times(Run(directory / "1").metrics)


def test_gathering_works_on_a_sweep_that_is_not_finished(sweep, tmp_path):
    directory = shutil.copytree(sweep[1], tmp_path / "copy")
    status = json.loads((directory / "0" / "status.json").read_text())
    (directory / "0" / "status.json").write_text(json.dumps(status | {"state": "running", "pid": 2**22 + 1}))
    (directory / "1" / "metrics.json").write_text('{"half": ')
    (directory / "1" / "status.json").write_text(json.dumps(status | {"state": "pending"}))
    command = [sys.executable, str(ROOT / "scripts" / "gather.py"), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(pandas.read_csv(directory / "sweep.csv")["state"]) == ["interrupted", "pending", "failed", "failed"]


def test_gathering_nothing_is_an_error(tmp_path):
    with pytest.raises(ScorelabError, match="no run directory"):
        gather(tmp_path)


def test_resuming_skips_what_is_done_and_finishes_the_rest(small, tmp_path):
    first = run_py("-m", *small, "seed=0,1", "hydra.sweep.dir=here", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    directory = tmp_path / "here"
    whole = Run(directory / "1").metrics
    untouched = (directory / "0" / "metrics.json").stat().st_mtime_ns
    for path in (directory / "1").iterdir():  # as if the job had never started
        if path.name not in ("config.yaml", "status.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    Run(directory / "1").mark("interrupted", stages=[])
    again = run_py("-m", "sweep.resume=here", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (directory / "0" / "metrics.json").stat().st_mtime_ns == untouched
    assert without_times(Run(directory / "1").metrics) == without_times(whole)

    listed = run_py("-m", "sweep.resume=here", "sweep.dry_run=true", cwd=tmp_path)
    assert listed.stdout.count("job #") == 2

    other = run_py("-m", *small, "seed=0,2", "sweep.resume=here", cwd=tmp_path)
    assert other.returncode == 2
    assert "of another configuration: job 1: seed: 1 -> 2" in other.stderr


def test_a_dry_run_lists_and_checks_every_job_and_starts_none(tmp_path):
    done = run_py("-m", "sweep.dry_run=true", "denoiser=tanh", "denoiser.L=3,0", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.count("job #") == 2
    assert done.stderr.count("denoiser.L = 0: allowed is an integer >= 1") == 2
    assert "4 jobs, 2 that cannot run" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_listed_jobs_are_paired_and_multiplied_with_what_is_swept(tmp_path):
    (tmp_path / "jobs.yaml").write_text(
        "- {training.N: 100, training.epochs: 2, target.a: {norm: 3.0}}\n"
        "- {training.N: 200, denoiser: relu, target.a: 0.5}\n"
    )
    done = run_py("-m", "sweep.jobs=jobs.yaml", "sweep.dry_run=true", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "job #1  training.N=100 training.epochs=2 target.a={norm:3.0} seed=1" in done.stdout
    assert "job #2  training.N=200 denoiser=relu target.a=0.5 seed=0" in done.stdout
    clash = run_py("-m", "sweep.jobs=jobs.yaml", "sweep.dry_run=true", "training.N=1,2", cwd=tmp_path)
    assert clash.returncode == 2
    assert "job 0 and the command line both set training.N" in clash.stderr


def test_an_unknown_key_of_the_sweep_itself_is_refused(tmp_path):
    done = run_py("-m", "+sweep.dry_runn=true", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 2
    assert "sweep.dry_runn: unknown key; did you mean dry_run?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_papers_settings_are_a_list_of_jobs(tmp_path):
    jobs = f"sweep.jobs={ROOT / 'scripts' / 'jobs' / 'paper_settings.yaml'}"
    done = run_py("-m", jobs, "sweep.dry_run=true", "training=paper", "denoiser=relu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "job #3  training.N=20000 training.epochs=2000 denoiser.L=6 denoiser.m=512" in done.stdout


@pytest.mark.parametrize("content", ["{a: 1}", "[]", "[1, 2]", "[", "- {}"])
def test_a_bad_list_of_jobs_is_refused(tmp_path, content):
    path = Path(tmp_path / "jobs.yaml")
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"sweep\.jobs"):
        read_jobs(path)


def test_two_sweeps_at_once_get_two_directories(small, tmp_path):
    command = [sys.executable, str(ROOT / "run.py"), "-m", *small, "training.epochs=1,1.0e+0", "stage=train"]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(list(tmp_path.glob("outputs/*/*-sweep*/sweep.csv"))) == 2


def test_jobs_are_frozen_when_the_sweep_begins(small, tmp_path):
    """A configuration file that is edited by the first job does not reach the second."""
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "run.py", tmp_path / "run.py")
    (tmp_path / "editing.py").write_text(
        "from pathlib import Path\n"
        "from scorelab.studies import Generate\n"
        "class Editing(Generate):\n"
        "    def run_stage(self, stage, context):\n"
        f"        path = Path({str(conf / 'training' / 'fast.yaml')!r})\n"
        "        path.write_text(path.read_text().replace('weight_decay: 1.0e-4', 'weight_decay: 9.0'))\n"
        "        super().run_stage(stage, context)\n"
    )
    (conf / "study" / "editing.yaml").write_text("defaults: [generate, _self_]\n_target_: editing.Editing\n")
    command = [
        sys.executable,
        "run.py",
        "-m",
        *small,
        "seed=0,1",
        "study=editing",
        "extensions=[editing]",
        "stage=train",
    ]
    done = subprocess.run([*command, "hydra.sweep.dir=here"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9.0" in (conf / "training" / "fast.yaml").read_text()
    for saved in ("config.yaml", ".hydra/config.yaml"):
        assert "weight_decay: 0.0001" in (tmp_path / "here" / "1" / saved).read_text()


def test_an_exiting_job_does_not_end_the_sweep(small, tmp_path):
    (tmp_path / "leaving.py").write_text(
        "import sys\n"
        "from scorelab.studies import Generate\n"
        "class Leaving(Generate):\n"
        "    def run_stage(self, stage, context):\n"
        "        if context.seed == 0:\n"
        "            sys.exit(3)\n"
        "        super().run_stage(stage, context)\n"
    )
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "run.py", tmp_path / "run.py")
    (tmp_path / "conf" / "study" / "leaving.yaml").write_text(
        "defaults: [generate, _self_]\n_target_: leaving.Leaving\n"
    )
    command = [
        sys.executable,
        "run.py",
        "-m",
        *small,
        "seed=0,1",
        "study=leaving",
        "extensions=[leaving]",
        "stage=train",
    ]
    done = subprocess.run([*command, "hydra.sweep.dir=here"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert [Run(tmp_path / "here" / name).state for name in "01"] == ["failed", "done"]


def test_jobs_can_run_side_by_side(small, tmp_path):
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "stage=train"]
    done = run_py("-m", *small, *parallel, "training.lr=1e-3,-1", "seed=0,1", "hydra.sweep.dir=here", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    states = [Run(tmp_path / "here" / name).state for name in "0123"]
    assert states == ["done", "done", "failed", "failed"]
    assert done.stderr.count("training.lr = -1: allowed is a number > 0") == 2
