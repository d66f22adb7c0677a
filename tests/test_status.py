"""`scorelab status` and `scorelab stop`: what the directories of runs, and a queue, say of them."""

import json
import os
import random
import statistics
import sys
import time

import pytest
from conftest import SMALL
from helpers import refused

import scorelab
from scorelab import cli, progress
from scorelab.errors import ScorelabError
from scorelab.lab import locks, slurm_queue
from scorelab.lab.locks import Lock
from scorelab.lab.runs import PROGRESS, Run
from scorelab.lab.status import remaining, status
from scorelab.lab.status_text import MANY, duration, text
from scorelab.progress import Progress

HALF_WAY = {"stage": "train", "what": "training", "done": 50, "total": 200, "unit": "epochs", "rate": 5.0, "seconds": 9}


@pytest.fixture
def sweep(tmp_path):
    """A function from the states of jobs to the directory of their sweep; a job that is done took 10 s."""

    def make(*states):
        for number, state in enumerate(states):
            run = Run(tmp_path / "sweep" / str(number))
            run.path.mkdir(parents=True)
            run.mark(state, stages=[], overrides=[f"seed={number}", "threads=1"], wall_seconds=10.0 * (state == "done"))
        (tmp_path / "sweep" / "sweep.json").write_text("{}")
        return tmp_path / "sweep"

    return make


def test_every_state_is_told_with_its_reason(sweep):
    directory = sweep("done", "running", "pending", "failed", "running", "done")
    Run(directory / "3").mark("failed", error="training: the loss is nan")
    (directory / "1" / PROGRESS).write_text(json.dumps(HALF_WAY))
    (directory / "5" / "status.json").write_text("{")
    with Lock(directory / "1"):
        found = status(directory)
        jobs = found.jobs
        states = ["done", "running", "pending", "failed", "interrupted", "unreadable"]
        assert [job.state for job in jobs] == states
        assert found.totals == dict.fromkeys(states, 1)
        assert jobs[3].error == "training: the loss is nan"
        assert "not a whole JSON file" in jobs[5].error
        assert (jobs[1].done, jobs[1].total, jobs[1].left) == (50, 200, 30.0)
        assert 9 <= jobs[1].age < 60
        assert jobs[1].owner == f"pid {os.getpid()} on {os.uname().nodename}"
        row = next(line for line in str(found).splitlines() if line.startswith("1 "))
        assert "seed=1  running" in row
        assert "train: training  50/200 epochs  5/s" in row
    assert [job.state for job in status(directory).jobs][1] == "interrupted"
    assert status(directory / "0").jobs[0].state == "done"
    with Lock(directory):  # the sweep is alive, and will come back to what nobody works at
        assert status(directory).totals["pending"] == 3


def test_clocks_that_differ_give_no_negative_ages(sweep, monkeypatch):
    directory = sweep("pending", "running")
    (directory / "1" / PROGRESS).write_text(json.dumps(HALF_WAY))
    (directory / "1" / locks.NAME).write_text('{"pid": 7, "host": "elsewhere"}')
    for ahead in (0, 150, -150, 36_000):  # beyond three minutes the owner counts as gone
        now = time.time() + ahead
        for path in (directory / "0" / "status.json", directory / "1" / PROGRESS, directory / "1" / locks.NAME):
            os.utime(path, (now, now))
        waiting, other = status(directory).jobs
        assert waiting.age >= 0
        assert waiting.age < 200
        assert other.age >= 0
        if abs(ahead) < locks.STALE:
            assert other.state == "running"
            assert other.owner.startswith("pid 7 on elsewhere")
            assert 9 <= other.age <= 9 + locks.BEAT
        else:
            assert other.state == "interrupted"


def test_a_run_says_how_far_it_is_while_it_works_and_nothing_afterwards(tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(progress, "_REPORT_PAUSE", 0.0)
    seen, update = {}, Progress.update

    def reported(self, done, note=""):
        update(self, done, note)
        seen.setdefault(self.what, status(tmp_path / "run").jobs[0])

    monkeypatch.setattr(Progress, "update", reported)
    scorelab.run(SMALL, tmp_path / "run")
    training, sampling = seen["training"], seen["sampling"]
    assert (training.state, training.stage, training.done, training.total) == ("running", "train", 1, 4)
    assert training.left == pytest.approx(3 / training.rate)
    assert (sampling.stage, sampling.unit) == ("sample", "samples")
    assert not (tmp_path / "run" / PROGRESS).exists()


def test_the_file_of_progress_is_written_every_two_seconds_at_most_and_its_failure_stops_nothing(tmp_path):
    written = []
    with progress.reported(tmp_path / PROGRESS, stage="train"), Progress("training", 1000, "epochs") as bar:
        for done in range(1000):
            bar.update(done)
            written.append((tmp_path / PROGRESS).stat().st_ino)
    assert len(set(written)) <= 1 + (time.perf_counter() - bar.started) / 2
    with progress.reported(tmp_path / "no folder" / PROGRESS), Progress("training", 2, "epochs") as bar:
        bar.update(1)


def test_the_remaining_time_and_its_spread_are_those_of_sweeps(sweep):
    draw = random.Random(0)
    errors, spreads = [], []
    for _ in range(2000):
        took = [draw.gauss(100, 10) for _ in range(20)]
        estimate = remaining(took[:8], [(0.0, 0.0)], 11)  # one runs since just now, eleven wait
        errors.append(sum(took[8:]) - estimate.seconds)
        spreads.append(estimate.spread)
    assert abs(statistics.fmean(errors)) < 4 * statistics.stdev(errors) / 2000**0.5
    assert statistics.fmean(spreads) / statistics.stdev(errors) == pytest.approx(1, abs=0.06)
    assert remaining([10.0], [(4.0, 1.0)], 3).seconds == 36
    assert remaining([10.0], [(4.0, 1.0)] * 2, 3).seconds == 21  # two side by side
    assert remaining([10.0], [(15.0, 90.0)] * 2, 0).seconds == 90  # as long as the longest
    assert remaining([], [], 3).why == "no job has ended"
    assert "sweep.resume=" in status(sweep("done", "pending")).left.why


SQUEUE = """#!/bin/sh
echo "$@" >> "$CALLS"
echo "5_0|RUNNING|0|None|"
echo "5_1|PENDING|0|Priority|"
"""


def test_the_queue_is_asked_once(sweep, tmp_path, monkeypatch):
    directory = sweep("done", "pending", "pending", "pending")
    listed = {str(number): {"slurm": f"5_{number - 1}"} for number in range(1, 4)}
    (directory / slurm_queue.NAME).write_text(json.dumps(listed))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert status(directory).note == "squeue: not installed here"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text(SQUEUE)
    (tmp_path / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    found = status(directory)
    assert [job.queue for job in found.jobs] == [None, "RUNNING", "PENDING", "gone"]
    assert (found.note, found.alive) == (None, True)
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert "--jobs=5 " in call
    (directory / slurm_queue.NAME).write_text('{"1": {"slurm": "5; rm"}}')
    assert "1234_0" in status(directory).note


def test_many_jobs_are_counted_and_those_that_need_a_look_are_listed(sweep):
    directory = sweep(*["done"] * MANY, "failed", "pending")
    shown = text(status(directory))
    assert len(shown.splitlines()) == 4
    assert f"{MANY + 1} jobs that wait or are done are not listed" in shown
    assert len(text(status(directory), every=True).splitlines()) == MANY + 4
    shown = [duration(seconds) for seconds in (0, 0.04, 59, 60, 3660, 200_000)]
    assert shown == ["0 s", "0.04 s", "59 s", "1 min", "1 h 1 min", "2 d 7 h"]


def test_the_command_shows_text_and_json_and_refuses_in_one_line(sweep, tmp_path, monkeypatch, capsys):
    directory = sweep("done", "pending")

    def types(*words):
        monkeypatch.setattr(sys, "argv", ["scorelab", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code
        return 0

    assert types("status", directory, "--watch", "1") == 0  # nobody works there, so that it ends
    assert "2 jobs, 1 done, 1 pending" in capsys.readouterr().out
    assert types("status", directory, "--json") == 0
    assert json.loads(capsys.readouterr().out)["jobs"][0]["took"] == 10.0
    assert scorelab.status(directory).table["state"].tolist() == ["done", "pending"]
    (tmp_path / "empty").mkdir()
    assert types("status", tmp_path / "nothing") == f"error: {tmp_path / 'nothing'}: no such directory"
    assert types("status", tmp_path / "empty") == f"error: {tmp_path / 'empty'}: no run directory below it"
    assert types("stop", directory) == f"error: {directory}: nobody works there"
    (directory / "1" / locks.NAME).write_text('{"pid": 7, "host": "elsewhere"}')
    assert "can be stopped there alone" in types("stop", directory)


def test_a_link_out_of_the_directory_is_not_read(sweep, tmp_path):
    directory = sweep("done", "done")
    (tmp_path / "elsewhere").write_text((directory / "1" / "status.json").read_text())
    (directory / "1" / "status.json").unlink()
    (directory / "1" / "status.json").symlink_to(tmp_path / "elsewhere")
    assert [job.state for job in status(directory).jobs] == ["done", "unreadable"]
    assert "leads out of" in refused(ScorelabError, lambda: Run.open(directory / "1"))
