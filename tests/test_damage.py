"""Damaged files, full and read-only disks, killed processes, odd names: one line says it, and nothing is lost."""

import errno
import fcntl
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from conftest import SMALL
from helpers import answer_here, copied, over, refused
from safetensors.torch import save_file

import scorelab
from scorelab.claims.page import page
from scorelab.claims.results import read_results
from scorelab.errors import ScorelabError
from scorelab.files import read_yaml, remove_parts, write_text
from scorelab.lab import locks
from scorelab.lab.app import Result
from scorelab.lab.context import Context
from scorelab.lab.denoiser_file import load_denoiser
from scorelab.lab.gather import gather
from scorelab.lab.locks import Lock
from scorelab.lab.runs import Run, claim, read_metrics
from scorelab.lab.summary import summary
from scorelab.markdown import text
from scorelab.reproduction import write_report
from scorelab.tensorfile import read_tensors


@pytest.fixture
def done(run_once):
    return run_once(*SMALL)


@pytest.fixture
def run(done, tmp_path):
    return copied(done, tmp_path)


def content(run):
    """The files of a run by name, without its log."""
    return {
        path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".log"
    }


# Readers. -----------------------------------------------------------------------------------------------------------

BOMB = ", ".join(
    ["x0: &x0 [y, y, y, y, y, y, y, y]", *(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 8)}]" for i in range(1, 30))]
)


@over(
    ("content", "says"),
    [
        ("", None),
        (b"\xff\xfe", "can't decode"),
        ("{a: " * 70 + "1" + "}" * 70, "nested"),
        ("[" * 1000 + "]" * 1000, "nested"),
        (f"seed: {{{BOMB}}}", "more than 1000000 values"),
        ("&a [*a]", "nested"),
        (", ".join(["{x0: &x0 [1]", *(f"x{i}: &x{i} [*x{i - 1}]" for i in range(1, 99))]) + "}", "nested"),
        ("a: " + "9" * 5000, "4300 digits"),
        (b"a" * (2**22 + 1), "more than 4194304 bytes"),
    ],
)
def test_yaml_is_read_as_far_as_it_can_be_worked_with(content, says, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if says is None:
        assert read_yaml(path) is None
    else:
        message = refused(ScorelabError, read_yaml, path)
        assert message.startswith(f"{path}: cannot be read (")
        assert says in message


@over(
    ("content", "says"),
    [
        (["running"], "a mapping from keys to values is needed"),
        ({}, "state"),
        ({"state": "done", "stages": [1]}, "stages.0"),
        ({"state": "done", "wall_seconds": -1}, "wall_seconds"),
        ({"state": "done", "overrides": {"a": 1}}, "overrides"),
        ({"state": "failed", "error": [1]}, "error"),
    ],
)
def test_a_status_that_is_none_is_refused(content, says, tmp_path):
    (tmp_path / "status.json").write_text(json.dumps(content))
    assert says in refused(ScorelabError, lambda: Run(tmp_path).status)
    (tmp_path / "status.json").write_text(json.dumps({"state": "running", "pid": "x", "host": 10**30}))
    assert Run(tmp_path).state == "interrupted"


@over(
    ("section", "says"),
    [
        (3, "sections are needed"),
        ({"w1": "text", "w1_standard_error": 0.1}, "projection.w1 = text"),
        ({"w1": True, "w1_standard_error": 0.1}, "projection.w1 = True"),
        ({"w1": {"a": 1}, "w1_se": 0.1}, "projection.w1 = {'a': 1}"),
        ({"w1": 1.0, "w1_standard_error": -0.1}, "projection.w1_standard_error = -0.1"),
        ({"w1": [1.0, 2.0], "w1_standard_error": [0.1]}, "has 2 values, and this has 1"),
        ({"w1": 10**400}, "beyond the numbers of double precision"),
        ({"w1": float("nan")}, "NaN is no number of JSON"),
        ({"w1": float("-inf")}, "-Infinity is no number of JSON"),
    ],
)
def test_numbers_that_are_none_are_refused_and_take_no_other_run_with_them(section, says, run, tmp_path):
    shutil.copytree(run, tmp_path / "runs" / "0", dirs_exist_ok=True)
    shutil.copytree(run, tmp_path / "runs" / "1", dirs_exist_ok=True)
    path = tmp_path / "runs" / "1" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"projection": section}))
    assert says in refused(ScorelabError, read_metrics, path)
    table = gather(tmp_path / "runs").set_index("job")
    assert list(table["state"]) == ["done", "unreadable"]
    assert says in table["error"]["1"]
    report = write_report(tmp_path / "runs")[0].read_text()
    assert "1 of 2 runs are done" in report
    assert "| 1 | unreadable | " in report


@over(
    ("place", "value", "tables"),
    [
        ("projection.w1", [1.0], "closing table"),
        ("posterior_mean.t", [1.0], "closing table"),
        ("projection.w1_floor", "low", "closing table"),
        ("training.steps", "many", "report"),
        ("sampling.T", "far", "report"),
        ("training.seconds", {"a": 1}, ""),
        ("training.excess_risk", "small", "has a standard error"),
    ],
)
def test_a_number_of_another_kind_ends_a_table_in_one_line(place, value, tables, run, tmp_path):
    shutil.copytree(run, tmp_path / "runs" / "0", dirs_exist_ok=True)
    run = Run(tmp_path / "runs" / "0")
    metrics = json.loads((run / "metrics.json").read_text())
    section, key = place.split(".")
    metrics[section][key] = value
    (run / "metrics.json").write_text(json.dumps(metrics))
    said = refused(ScorelabError, lambda: summary(run, run.config.study))
    said += str(gather(run.path.parent)["error"][0])  # an error that is raised fails here
    assert tables in said + write_report(run.path.parent)[0].read_text()


SAMPLES = {
    "is not finite": lambda good: numpy.where(numpy.arange(8) == 3, numpy.nan, good).astype("f4"),
    "(300, 4)": lambda good: good[:, :4],
    "(1, 8)": lambda good: good[:1],
    "(0, 8)": lambda good: good[:0],
    "(1, 300, 8)": lambda good: good[None],
    "(600, 8)": lambda good: numpy.vstack([good, good]),
    "holds <U32": lambda good: good.astype(str),
    "holds complex64": lambda good: good.astype("c8"),
    "holds float64": lambda good: good.astype("f8"),
    "cannot be read": lambda good: good.astype(object),
}


def test_samples_are_those_that_the_configuration_asks_for(done, run):
    good, path = numpy.load(run / "samples.npy"), run / "samples.npy"
    result = Result(run, done.metrics, done.config)
    for says, damaged in SAMPLES.items():
        numpy.save(path, damaged(good))
        for reading in (lambda: Context(Run(run), done.config).samples, lambda: result.samples):
            message = refused(ScorelabError, reading)
            assert says in message.removeprefix(f"{path}: "), says
    path.write_bytes(path.read_bytes()[:100])
    assert "cannot be read" in refused(ScorelabError, lambda: result.samples)
    numpy.save(path, good)
    assert result.samples.shape == good.shape


def test_a_denoiser_is_the_one_of_the_run(done, run):
    path = run / "denoiser.safetensors"
    tensors, metadata = read_tensors(path)
    name, origin = next(iter(tensors)), json.loads(metadata["scorelab"])
    first = tensors[name]
    for says, change, seed in (
        ("more is no tensor", {"more": torch.zeros(1)}, 0),
        ("is needed", {name: torch.zeros(2)}, 0),
        ("torch.float16, torch.float32 is needed", {name: first.half()}, 0),
        ("torch.int64, torch.float32 is needed", {name: first.long()}, 0),
        ("not finite", {name: torch.full_like(first, torch.nan)}, 0),
        ("not a denoiser saved by scorelab", {}, -1),
        ("not a denoiser saved by scorelab", {}, True),
        ("not a denoiser saved by scorelab", {}, "0"),
        ("seed: 0 -> 5", {}, 5),
    ):
        save_file(tensors | change, path, {"scorelab": json.dumps(origin | {"seed": seed})})
        message = refused(ScorelabError, load_denoiser, path, done.config)
        assert says in message.removeprefix(f"{path}: "), says
    save_file(tensors, path, {"scorelab": "[" * 100_000})
    assert "not a denoiser saved by scorelab" in refused(ScorelabError, load_denoiser, path)


def test_cut_weights_are_named_where_they_are_before_a_directory_is_made(run, tmp_path):
    path = run / "denoiser.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    for words in (["seed=0"], ["in_place=true"]):
        answer = answer_here(*words, f"run={run}", "stage=sample", cwd=tmp_path)
        assert f"error: {path}: not a whole safetensors file" in answer["err"]
        assert "sampling: " not in answer["out"]
        assert {*tmp_path.iterdir()} == {run}


def test_a_table_has_the_columns_that_are_asked_for(done, run):
    context = Context(Run(run), done.config)
    for says, written in {
        "not a whole table": b"",
        "has no row": b"step,loss\n",
        "has no step": b"a,b\n1,2\n",
        "column loss has text": b"step,loss\n1,x\n",
        "can't decode": b"\xff\xfe\x00",
    }.items():
        (run / "training.csv").write_bytes(written)
        assert says in refused(ScorelabError, lambda: context.read_table("training.csv")["step"]), says


def test_the_arrays_of_a_figure_are_held_against_what_it_draws(done, run, monkeypatch):
    path, context = run / "figures" / "projection.npz", Context(Run(run), done.config)
    whole = dict(numpy.load(path))
    for other in (run / "figures").glob("*.npz"):
        if other != path:
            other.unlink()
    for says, change in {
        "has no values, which is needed here": {"values": None},
        "values has a nan": {"values": numpy.append(whole["values"], numpy.nan)},
        "cannot be drawn (Index": {"grid": numpy.zeros(0)},
        "cannot be drawn (DType": {"grid": whole["grid"].astype(str)},
    }.items():
        numpy.savez(path, **{name: values for name, values in (whole | change).items() if values is not None})
        message = refused(ScorelabError, lambda: [context.figure(name) for name in context.figure_names()])
        assert says in message.removeprefix(f"{path}: "), (says, message)
    shutil.rmtree(run / "figures")
    (run / "figures").write_text("a file")
    assert "is a file" in refused(ScorelabError, lambda: [context.figure(name) for name in context.figure_names()])


COMPARISON = {
    "statement": "printed",
    "what": "x",
    "value": None,
    "relation": "=",
    "against": 1,
    "error": 0.0,
    "outcome": None,
}
CLAIM = dict.fromkeys(
    ("id", "source", "statement", "corrected", "recorded", "fault", "finding", "counterexample"), "S0-99"
)
CLAIM |= {"verdict": "holds", "seconds": 1.0, "comparisons": [COMPARISON]}


def test_the_entries_of_claims_have_what_a_page_needs(tmp_path):
    path = tmp_path / "claims.json"
    for says, written in {
        "valid list": {},
        "0: ": [3],
        "entry 0: verdict": [{key: value for key, value in CLAIM.items() if key != "verdict"}],
        "entry 1: comparisons.0.relation": [CLAIM, CLAIM | {"comparisons": [COMPARISON | {"relation": "<"}]}],
        "entry 0: comparisons.0.error": [CLAIM | {"comparisons": [COMPARISON | {"error": -1.0}]}],
        "entry 0: seconds": [CLAIM | {"seconds": "long"}],
        "entry 0: finding": [CLAIM | {"finding": None}],
    }.items():
        path.write_text(json.dumps(written))
        message = refused(ScorelabError, read_results, path)
        assert says in message.removeprefix(f"{path}: "), (says, message)
    path.write_text(json.dumps([CLAIM]))
    assert page(read_results(path), {"S0-99": []}, "figures", True).count("not finite") == 1


# A run that was done. -----------------------------------------------------------------------------------------------


def test_a_stage_that_fails_leaves_the_run_as_it_was(run, monkeypatch, undrawn):
    before = content(run)
    from scorelab.studies.generate import analyse

    def broken(study, context):
        context.update_metrics("projection", {"w1": 3.0})
        context.save_arrays("new", {"x": numpy.zeros(1)})
        raise failure

    monkeypatch.setattr(analyse, "run", broken)
    for failure in (RuntimeError("a bug"), KeyboardInterrupt(), ScorelabError("a disk")):
        with pytest.raises(type(failure)):
            scorelab.run([f"run={run}", "stage=sample", "in_place=true", "sampler.count=100"])
        assert content(run) == before
    assert Run(run).state == "done"


def test_a_stage_that_is_killed_leaves_the_run_as_it_was(run):
    before = content(run)
    config = Run(run).config
    analyse = config.general.model_copy(update={"stage": "analyse"})
    Run(run).begin(replace(config, general=analyse), ("analyse", "plot"))
    write_text(run / "metrics.json", "{}")
    write_text(run / "figures" / "more.npz", "")
    (run / "training.csv").unlink()
    assert Run(run).state == "interrupted"
    shutil.copytree(run, run.parent / "again")
    Lock(run).release()
    assert content(run) == before
    Run(run.parent / "again").mark("done")  # killed when it had come to its end
    Lock(run.parent / "again").release()
    assert (run.parent / "again" / "metrics.json").read_text() == "{}"
    assert not (run.parent / "again" / ".before").exists()


# Disks. -------------------------------------------------------------------------------------------------------------


def failing(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


def test_an_error_of_clearing_up_does_not_hide_the_reason(run, tmp_path, monkeypatch):
    calls = {
        "a file": lambda: write_text(tmp_path / "a.txt", "text"),
        "a table": lambda: gather(tmp_path),
        "a report": lambda: write_report(tmp_path),
    }
    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", failing(errno.ENOSPC))
        disk.setattr(Path, "unlink", lambda path, missing_ok=False: path.exists() and failing(errno.EROFS)())
        for name, call in calls.items():
            message = refused(ScorelabError, call)
            assert message.endswith("cannot be written (No space left on device)"), name
        Run(run).mark("failed", error="the reason is told by the caller")
    Lock(run).release()
    assert not list(run.glob(".*.part"))


def test_a_disk_that_is_full_at_the_start_is_one_line(tmp_path, monkeypatch):
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", failing(errno.ENOSPC))
        answer = answer_here(*SMALL, "hydra.run.dir=here", cwd=tmp_path)
        assert (answer["status"], answer["err"].count("\n")) == (1, 1), answer
        assert answer["err"].endswith("here/.lock: cannot be written (No space left on device)\n")
    assert claim(tmp_path / "here") == tmp_path / "here"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(run):
    folder = run / "figures"
    ours, others = (
        folder / ".projection.png.123.part",
        [folder / name for name in (".mine.part", "a.1.part", ".b.x.part")],
    )
    for path in (ours, *others, folder / ".written.png.77.part", run / "0" / ".x.json.1.part"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    (folder / ".link.1.part").symlink_to(others[0])
    with open(folder / ".written.png.77.part", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Lock(run).release()
        assert (folder / ".written.png.77.part").exists()
    assert not ours.exists()
    assert all(path.exists() for path in (*others, folder / ".link.1.part", run / "0" / ".x.json.1.part"))
    remove_parts(folder)
    assert not (folder / ".written.png.77.part").exists()


def test_a_file_that_is_being_written_is_no_figure(run, capsys):
    (run / "figures" / "projection.png").write_text("whole")
    (run / "figures" / ".projection.png.123.part").write_text("half")
    summary(Run(run), Run(run).config.study)
    assert "projection.png" in (printed := capsys.readouterr().out)
    assert ".part" not in printed


def test_what_was_killed_before_it_began_can_be_used_again(run, tmp_path):
    def killed(folder):
        (folder / ".hydra").mkdir(parents=True)
        (folder / "run.log").write_text("")
        (folder / locks.NAME).write_text(json.dumps({"pid": 7, "host": os.uname().nodename}))
        (folder / ".config.yaml.7.part").write_text("half")

    def killed_sweep(folder):
        killed(folder)
        (folder / "0").mkdir()
        shutil.copy(run / "config.yaml", folder / "0" / "config.yaml")
        Run(folder / "0").mark("pending")
        (folder / "1").mkdir()

    for name, make in (("run", killed), ("sweep", killed_sweep)):
        make(tmp_path / "used" / name)
        assert [path.name for path in claim(tmp_path / "used" / name).iterdir()] == [locks.NAME]
    for name, more in {
        "mine": lambda folder: (folder / "mine.txt").write_text("mine"),
        "begun": lambda folder: Run(folder).mark("running"),
        "results": lambda folder: shutil.copytree(run, folder / "3"),
        "starting": lambda folder: (folder / locks.NAME).write_text(""),
    }.items():
        killed_sweep(tmp_path / "used" / name)
        more(tmp_path / "used" / name)
        before = content(tmp_path / "used" / name)
        assert "is not empty" in refused(ScorelabError, claim, tmp_path / "used" / name), name
        assert content(tmp_path / "used" / name) == before, name


# Names. -------------------------------------------------------------------------------------------------------------


def test_a_sweep_may_stand_in_a_directory_of_any_name(tmp_path, undrawn):
    name = r"it's [b] [/b] %s #1 \ ö漢 a=b, {c} $d"
    quoted = name.replace("'", "\\'")
    answer = answer_here("-m", *SMALL, "stage=train", "seed=0,1", f"hydra.sweep.dir='{quoted}'", cwd=tmp_path)
    assert answer["status"] == 0, answer
    assert [path.name for path in tmp_path.iterdir()] == [name.partition("/")[0]]
    answer = answer_here("-m", f"sweep.resume='{quoted}'", cwd=tmp_path)
    assert (answer["status"], "2 of them skipped" in answer["out"]) == (0, True), answer


def test_a_reference_in_the_name_of_a_directory_is_refused_at_once(run, tmp_path):
    (tmp_path / "a${b}").mkdir()
    (tmp_path / "a${b}" / "sweep.json").write_text("{}")
    moved = shutil.move(run, tmp_path / "a${b}" / "run")
    for call in (
        ["-m", *SMALL, r"hydra.sweep.dir='x\${b}'", "seed=0,1"],
        ["-m", r"sweep.resume='a\${b}'"],
        [rf"run='{str(moved).replace('$', chr(92) + '$')}'", "stage=plot"],
    ):
        answer = answer_here(*call, cwd=tmp_path)
        assert "a path with ${ in it cannot be used" in answer["err"], answer
        assert answer["status"] == 1
    assert not (tmp_path / "x${b}").exists()


def test_a_name_or_an_error_in_a_table_is_plain_text():
    for plain, written in {
        "a|b\nc": "a|b c",
        "`x` *y* [z](u)": r"\`x\` \*y\* [z]\(u)",
        "<script>&lt;": "&lt;script>&amp;lt;",
        "a & b": "a & b",
    }.items():
        assert text(plain) == written
