"""The index of runs is only a cache: with it and without it the answer is the same."""

import json
import os
import random
import shutil
import zipfile

import pandas
import pytest
from run_folders import Folder

import scorelab
from scorelab.lab import index, locks, rows


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the index, which is written from the first run on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "_FEW", 0)
    monkeypatch.setattr(index, "_REST", 0.0)
    return tmp_path / "cache" / "scorelab"


def unindexed(folder, monkeypatch):
    """The table of runs where no file can be kept."""
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        return scorelab.runs(folder)


@pytest.fixture
def read(monkeypatch):
    """The runs that were read."""
    found, row = [], rows.row
    monkeypatch.setattr(rows, "row", lambda path: found.append(str(path)) or row(path))
    return found


def test_after_any_change_of_a_run_the_index_gives_what_the_files_say(tmp_path, monkeypatch, cache):
    folder, draws = Folder(tmp_path / "runs"), random.Random(5)
    for number in range(4):
        folder.run(f"day/{number}", draws)

    def name():
        return f"day/{draws.randrange(6)}"

    def moved():
        known = sorted((folder.path / "day").iterdir())
        if len(known) > 1:
            known[0].rename(folder.path / "day" / f"moved{folder._time}")

    changes = {
        "new": lambda: folder.run(name(), draws, numbers=("projection", f"other{draws.randrange(3)}")),
        "failed": lambda: folder.run(name(), draws, state="failed"),
        "gone": lambda: shutil.rmtree(folder.path / name(), ignore_errors=True),
        "damaged": lambda: folder.write(f"{name()}/metrics.json", "{"),
        "of a date": lambda: folder.write(f"{name()}/config.yaml", "seed: 2026-01-01"),
        "running": lambda: folder.run(name(), draws, state="running"),
        "moved": moved,
        "in a sweep": lambda: folder.run(f"day/sweep/{draws.randrange(3)}", draws),
        "index damaged": lambda: [path.write_bytes(path.read_bytes()[:-200]) for path in cache.glob("*")],
        "index gone": lambda: shutil.rmtree(cache, ignore_errors=True),
    }
    for _ in range(30):
        draws.choice([*changes.values()])()
        expected = unindexed(folder.path, monkeypatch)
        for _ in range(2):
            pandas.testing.assert_frame_equal(scorelab.runs(folder.path), expected)
    assert [*cache.glob("*.zip")]


def test_a_run_that_did_not_change_is_not_read_again(tmp_path, cache, read):
    folder, draws = Folder(tmp_path / "runs"), random.Random(5)
    for number in range(3):
        folder.run(f"{number}", draws)
    scorelab.runs(folder.path)
    assert len(read) == 3
    scorelab.runs(folder.path)
    assert len(read) == 3
    folder.run("1", draws)
    scorelab.runs(folder.path, where="metrics.projection.w1 > 0", columns=["seed"])
    assert read[3:] == [str(folder.path / "1")]


def test_a_run_without_its_process_is_interrupted_and_one_with_it_is_running(tmp_path, cache):
    folder = Folder(tmp_path / "runs")
    folder.run("one", random.Random(5), state="running")
    assert list(scorelab.runs(folder.path)["state"]) == ["interrupted"]
    with locks.Lock(folder.path / "one"):
        assert list(scorelab.runs(folder.path)["state"]) == ["running"]
    assert list(scorelab.runs(folder.path)["state"]) == ["interrupted"]


def test_a_file_that_may_still_change_unseen_is_read_again(tmp_path, cache, read, monkeypatch):
    monkeypatch.setattr(index, "_REST", 3600.0)
    folder = Folder(tmp_path / "runs")
    folder.run("one", random.Random(5))
    for _ in range(2):
        scorelab.runs(folder.path)
    assert len(read) == 2


def test_the_index_of_other_code_or_with_a_damaged_column_does_not_count(tmp_path, cache, read, monkeypatch):
    folder, draws = Folder(tmp_path / "runs"), random.Random(5)
    for number in range(3):
        folder.run(f"{number}", draws)
    expected = scorelab.runs(folder.path)
    (path,) = cache.glob("*.zip")
    with zipfile.ZipFile(path) as parts:
        contents = {name: parts.read(name) for name in parts.namelist()}
    place = str(json.loads(contents["head"])["names"].index("metrics.projection.w1"))
    for name, content in (("head", contents["head"].replace(b"0.1.0", b"0.0.9")), (place, b"[1, 2]"), (place, b'{"a"')):
        with zipfile.ZipFile(path, "w") as parts:
            for each in contents:
                parts.writestr(each, content if each == name else contents[each])
        before = len(read)
        pandas.testing.assert_frame_equal(scorelab.runs(folder.path), expected)
        assert len(read) == before + 3


def test_a_folder_that_cannot_be_written_gets_nothing_and_an_index_that_is_not_used_goes(tmp_path, cache):
    folder = Folder(tmp_path / "runs")
    folder.run("one", random.Random(5))
    before = sorted(folder.path.rglob("*"))
    cache.mkdir(parents=True)
    (cache / "old.runs.zip").touch()
    os.utime(cache / "old.runs.zip", (0, 0))
    scorelab.runs(folder.path)
    assert sorted(folder.path.rglob("*")) == before
    assert len([*cache.iterdir()]) == 1
    assert (cache / "old.runs.zip").exists() is False
