"""`scorelab rm` removes runs, and nothing else."""

import random
import shutil
import sys
from types import SimpleNamespace

import pytest
from helpers import command
from run_folders import Folder

from scorelab.lab import locks, removing


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs of several states, beside what is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs, draws = Folder(tmp_path / "runs"), random.Random(5)
    for name, state in (("day/1", "failed"), ("day/2", "done"), ("day/3", "running"), ("sweep/0", "failed")):
        runs.run(name, draws, state=state)
    runs.write("sweep/sweep.json", "{}")
    runs.write("sweep/sweep.csv", "job\n")
    runs.write("other/status.json", '{"state": "failed"}')  # of another program
    runs.write("day/notes.txt", "mine")
    return runs.path


def states(folder):
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("status.json"))


@pytest.fixture
def rm(folder, monkeypatch, capsys):
    """The command rm; `says` is what the user answers, None where there is no terminal."""

    def call(*words, says=None, place=folder):
        answers = SimpleNamespace(isatty=lambda: says is not None, readline=lambda: f"{says}\n")
        monkeypatch.setattr(sys, "stdin", answers)
        return command(monkeypatch, capsys, "rm", place, *words)

    return call


def test_only_runs_of_the_state_go_and_what_is_no_run_stays(rm, folder):
    shown, status = rm("--failed", "--yes")
    assert states(folder) == ["day/2", "day/3", "other"]
    assert "2 removed" in shown
    assert f"{folder / 'other'}: has no config.yaml and no .hydra, so that it may be no run; it stays" in shown
    assert f"{folder / 'sweep'}: scorelab gather writes its tables anew" in shown
    assert status == 1  # as one stayed
    assert (folder / "day" / "notes.txt").read_text() == "mine"
    assert {path.name for path in (folder / "sweep").iterdir()} == {"sweep.json", "sweep.csv"}
    rm("--interrupted", "--yes")
    assert states(folder) == ["day/2", "other"]
    rm("state == 'done' and seed >= 0", "--yes")
    assert states(folder) == ["other"]


def test_it_asks_first_and_without_a_terminal_it_does_nothing(rm, folder):
    before = states(folder)
    shown, status = rm("--failed", place=folder / "day")
    assert (status, shown.splitlines()[-1]) == (
        2,
        "error: 1 run, 0.0 MB: nobody can be asked here; --yes removes without asking",
    )
    for answer in ("", "n", "yep"):
        assert rm("--failed", says=answer)[1] == "nothing was removed"
    assert rm()[1] == 2  # which runs?
    assert states(folder) == before
    shown, status = rm("--failed", says="y", place=folder / "day")
    assert status == 0
    assert states(folder) == ["day/2", "day/3", "other", "sweep/0"]
    assert rm("--failed", "--yes", place=folder / "day") == ("no run to remove\n", 0)


def test_a_run_that_somebody_works_at_stays_and_so_do_the_jobs_of_a_sweep_that_runs(rm, folder):
    with locks.Lock(folder / "sweep"), locks.Lock(folder / "day" / "1"):
        shown, status = rm("--failed", "--yes")
    assert status == 1
    assert f"{folder / 'sweep' / '0'}: its sweep is running, pid" in shown
    assert f"{folder / 'day' / '1'}: is running, pid" in shown
    (folder / "day" / "1" / "replicas" / "0").mkdir(parents=True)
    with locks.Lock(folder / "day" / "1" / "replicas" / "0"):
        assert "is running, pid" in rm("--failed", "--yes", place=folder / "day")[0]
    assert len(states(folder)) == 5


def test_a_run_that_began_after_it_was_listed_stays(folder, monkeypatch):
    listed = removing.removable(folder / "day" / "1", "failed")
    Folder(folder).run("day/1", random.Random(6))
    with pytest.raises(removing.ScorelabError, match="is done by now, and no longer failed"):
        removing.remove(listed)
    listed = removing.removable(folder / "day" / "2", "done")
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    with locks.Lock(folder / "day" / "2"), pytest.raises(removing.ScorelabError, match="is running"):
        removing.remove(listed)
    assert len(states(folder)) == 5


def test_links_are_not_followed(rm, folder, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("1")
    (folder / "day" / "1" / "link").symlink_to(tmp_path / "precious")
    (folder / "linked").symlink_to(folder / "day" / "2")
    (folder / "day" / "hidden").symlink_to(tmp_path / "precious")
    rm("--failed", "--yes", place=folder / "day")
    assert "day/1" not in states(folder)
    assert (tmp_path / "precious" / "file").read_text() == "1"
    assert "is a link, which stays" in rm("state == 'done'", "--yes", place=folder / "linked")[0]
    assert "day/2" in states(folder)


def test_a_part_of_a_run_does_not_go_alone(rm, folder):
    Folder(folder).run("day/2/replicas/0", random.Random(5), state="failed")
    shown, _ = rm("--failed", "--yes", place=folder / "day" / "2")
    assert f"is a part of the run {folder / 'day' / '2'}, and stays" in shown
    assert "day/2/replicas/0" in states(folder)


def test_an_interruption_leaves_whole_runs_and_the_next_call_clears_up(rm, folder, monkeypatch):
    remove = shutil.rmtree

    def interrupted(path, **options):
        (path / "status.json").unlink()
        monkeypatch.setattr(removing.shutil, "rmtree", remove)
        raise KeyboardInterrupt

    monkeypatch.setattr(removing.shutil, "rmtree", interrupted)
    assert rm("--failed", "--yes", place=folder / "day")[1] == 130
    assert sorted(path.name for path in (folder / "day").iterdir()) == ["2", "3", "notes.txt"]
    leftover, mine = folder / "day" / ".1.12345.removed", folder / "day" / ".mine.removed"
    (leftover / "figures").mkdir(parents=True)  # as after SIGKILL
    mine.mkdir()
    rm("--interrupted", "--yes", place=folder / "day")
    assert sorted(path.name for path in (folder / "day").iterdir()) == [".mine.removed", "2", "notes.txt"]
