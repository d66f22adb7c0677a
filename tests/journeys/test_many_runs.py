"""Every day after: sweeps, odd names, two hands on one directory, hundreds of runs."""

import json

import pandas
from helpers import answer_here

from scorelab.lab.locks import Lock

SWEEP = "hydra.sweep.dir=outputs/sweep"


def test_a_job_that_fails_is_a_row_and_a_sweep_that_is_resumed_does_the_rest(user):
    said = user.types(f"python run.py -m training.lr=1e-3,1e9 {SWEEP}", quick=True, status=1)
    assert "training.lr (now 1e+09) or training.clip may help" in said
    table = pandas.read_csv(user.folder / "outputs/sweep/sweep.csv")
    assert table["state"].tolist() == ["done", "failed"]
    assert table["training.lr"].tolist() == [1e-3, 1e9]
    before = (user.folder / "outputs/sweep/0/metrics.json").stat().st_mtime_ns
    user.types("python run.py -m sweep.resume=outputs/sweep", status=1)
    assert (user.folder / "outputs/sweep/0/metrics.json").stat().st_mtime_ns == before


def test_paths_with_blanks_quotes_and_signs_work_everywhere(user):
    odd = "it's 50% of = a, b"
    (user.folder / odd / "denoiser").mkdir(parents=True)
    (user.folder / odd / "denoiser" / "mine.yaml").write_text("defaults: [velocity, _self_]\nm: 4\n")
    words = ["--config-dir", odd, "denoiser=mine", f"hydra.run.dir={odd}/run"]
    small = [word for word in user.small if not word.startswith("denoiser.")]
    done = answer_here(*words, *small, cwd=user.folder)
    assert done["status"] == 0, done["err"]
    assert answer_here("stage=analyse", f"run={odd}/run", cwd=user.folder)["status"] == 0
    assert "m: 4" in (user.folder / odd / "run" / "config.yaml").read_text()


def test_who_finds_a_run_in_work_is_told_so(user):
    user.types("python run.py hydra.run.dir=outputs/busy", quick=True)
    before = (user.folder / "outputs/busy/metrics.json").read_bytes()
    with Lock(user.folder / "outputs/busy"):
        for words in ("stage=analyse run=outputs/busy", "training.resume=outputs/busy"):
            assert "is running, pid" in user.types(f"python run.py {words}", status=1)
    assert (user.folder / "outputs/busy/metrics.json").read_bytes() == before


def test_a_key_that_would_do_nothing_is_refused(user):
    for key in ("hydra.sweep.subdir=x", "hydra.sweeper.max_batch_size=2"):
        said = user.types(f"python run.py -m sweep.dry_run=true seed=0,1 '{key}'", status=2)
        assert f"error: {key.replace('=', ' = ')}" in said
    said = user.types("python run.py -m sweep.dry_run=true 'hydra.sweeper.params={seed: \"3,4\"}'")
    assert "seed=3" in said
    assert "seed=4" in said
    assert not user.finds("*")


def test_numbers_of_a_list_of_jobs_stay_numbers(user):
    (user.folder / "jobs.yaml").write_text("- {training.lr: 1e-4}\n- {training.lr: 2.5e-3}\n")
    user.types(f"python run.py -m sweep.jobs=jobs.yaml stage=train {SWEEP}", quick=True)
    assert pandas.read_csv(user.folder / "outputs/sweep/sweep.csv")["training.lr"].tolist() == [1e-4, 2.5e-3]


def test_runs_of_many_days_are_one_table(user):
    for day in (1, 2):
        user.types(f"python run.py seed={day} hydra.run.dir=outputs/day-{day}/run", quick=True)
    user.types("scorelab gather outputs")
    assert pandas.read_csv(user.folder / "outputs/sweep.csv")["seed"].tolist() == [1, 2]
    user.types("scorelab ls outputs --csv all.csv")
    table = pandas.read_csv(user.folder / "all.csv")
    assert {"training.lr", "metrics.path_kl.total", "target.p"} <= set(table)


def test_a_sweep_is_looked_at_before_it_begins(user):
    said = user.types("python run.py -m sweep.dry_run=true denoiser=relu,tanh seed=0,1", quick=True)
    assert "4 jobs" in said
    assert not user.finds("*")


def test_means_over_seeds_come_from_one_run(user):
    user.types("python run.py replicas=3 hydra.run.dir=outputs/three", quick=True)
    metrics = json.loads((user.folder / "outputs/three/metrics.json").read_text())
    paths = [path for path in user.finds("outputs/three/**/metrics.json") if path.parent.name != "three"]
    runs = [json.loads(path.read_text()) for path in paths]
    assert len(runs) == 3
    assert metrics["projection"]["w1"] == sum(run["projection"]["w1"] for run in runs) / 3
    assert metrics["projection"]["w1_standard_error"] > 0
