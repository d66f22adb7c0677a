"""A directory of somebody else's is data: opening it runs nothing of it, and writes and reads nowhere else."""

import json
import os
import shutil
import sys

import numpy
import pytest
import yaml
from conftest import SMALL
from helpers import ROOT, answer_here, refused

import scorelab
from scorelab.claims.page import page
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures.files import load_arrays
from scorelab.files import inside, require_closed, write_text
from scorelab.lab.gather import gather, print_sweep
from scorelab.lab.job_words import read_jobs
from scorelab.lab.locks import Lock
from scorelab.reproduction import write_report

PAYLOAD = """
open({canary!r}, "w").write("it ran")
from scorelab.studies import Generate
from scorelab.targets.options import TwoModes
"""


@pytest.fixture
def stranger(run_once, tmp_path, monkeypatch):
    """The working directory, with somebody's finished run and a victim beside it, all of which can be imported."""
    where = tmp_path / "work"
    run = shutil.copytree(run_once(*SMALL).directory, where / "outputs" / "2026-01-01" / "stranger")
    (run / "payload.py").write_text(PAYLOAD.format(canary=str(tmp_path / "ran.txt")))
    (tmp_path / "victim" / "figures").mkdir(parents=True)
    for name in ("secret.txt", "trajectories.png", "figures/laws.png", "figures/trajectories.npz"):
        (tmp_path / "victim" / name).write_text(f"precious {name}")
    monkeypatch.syspath_prepend(where)
    monkeypatch.chdir(where)
    return run


def victim(run):
    """Everything that is outside of the run: the name and the content of each file."""
    top = run.parents[3]
    outside = (
        path for path in top.rglob("*") if not path.is_relative_to(run.parent) and "__pycache__" not in path.parts
    )
    return {str(path.relative_to(top)): path.read_bytes() for path in outside if path.is_file()}


def changed(run, **values):
    """Change the saved configuration of a run, by dotted keys with __ for dots."""
    saved = yaml.safe_load((run / "config.yaml").read_text())
    for key, value in values.items():
        *place, last = key.split("__")
        node = saved
        for part in place:
            node = node[part]
        node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(saved))


def as_sweep(run):
    """The directory of a sweep whose one job is the run, not yet done."""
    sweep = run.parent / "sweep"
    shutil.copytree(run, sweep / "0", symlinks=True)
    status = json.loads((sweep / "0" / "status.json").read_text())
    (sweep / "0" / "status.json").write_text(json.dumps(status | {"state": "pending", "stages": []}))
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [["seed=0"]]}))
    return sweep


STAGES = ("sample", "analyse", "plot")


def every_opening(run, *given, stages=STAGES):
    """The answers of all command lines that open a run."""
    sweep = as_sweep(run)
    calls = [[f"run={run}", f"stage={stage}"] for stage in stages]
    calls += [[f"training.resume={run}"], ["-m", f"sweep.resume={sweep}"]]
    answers = [answer_here(*call, *given, cwd=run.parents[2]) for call in calls]
    shutil.rmtree(sweep)
    return answers


NAME = "outputs.2026-01-01.stranger.payload"
HOSTILE = {
    "a target beside the run": {"extensions": ["outputs"], "target___target_": f"{NAME}.TwoModes"},
    "a target of an installed package": {"extensions": ["numpy"], "target___target_": "numpy.ndarray"},
    "a study": {"extensions": ["outputs"], "study___target_": f"{NAME}.Generate"},
    "a node in a node": {
        "extensions": ["outputs"],
        "schedule__grid": {"_target_": f"{NAME}.Grid"},
    },
    "a network in a denoiser": {
        "extensions": ["outputs"],
        "denoiser": {"_target_": "scorelab.denoisers.Module", "module": {"_target_": f"{NAME}.Net"}},
    },
    "no extension": {"target___target_": f"{NAME}.TwoModes"},
    "an object of the standard library": {"target": {"_target_": "subprocess.Popen", "args": ["touch", "ran.txt"]}},
    "a node of Hydra's": {"hydra": {"callbacks": {"x": {"_target_": f"{NAME}.X"}}}},
    "a name that is no list": {"extensions": "outputs"},
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_saved_configuration_imports_nothing(stranger, hostile, tmp_path):
    changed(stranger, **HOSTILE[hostile])
    before = victim(stranger)
    stage = STAGES[list(HOSTILE).index(hostile) % 3]  # any stage reads the configuration first, and alike
    for answer in every_opening(stranger, stages=[stage]):
        assert answer["status"] != 0, hostile
        assert len(answer["err"].strip().splitlines()) == 1, answer
    message = refused(ScorelabError, scorelab.run, [f"run={stranger}", "stage=plot"])
    if hostile == "a study":
        assert "config.yaml: extensions = outputs: " in message
        assert "'extensions=[outputs]' on the command line allows it" in message
    write_report(stranger.parent)
    gather(stranger.parent)
    assert victim(stranger) == before
    assert not [name for name in sys.modules if name.startswith("outputs")]


def test_what_lies_below_the_working_directory_is_no_package(stranger, tmp_path):
    changed(stranger, extensions=["outputs"], target___target_=f"{NAME}.TwoModes")
    for answer in every_opening(stranger, "extensions=[outputs]"):
        assert "outputs is a folder without __init__.py" in answer["err"], answer
    for folder in (stranger, *stranger.parents[:2]):
        (folder / "__init__.py").write_text("")
    for answer in every_opening(stranger, "extensions=[outputs]"):
        assert "a directory of runs, from which nothing is imported" in answer["err"], answer
    assert not (tmp_path / "ran.txt").exists()


def test_the_own_run_opens_again_with_the_extension_or_with_the_option_file_that_names_it(stranger, undrawn):
    where = stranger.parents[2]
    (where / "mine.py").write_text("from scorelab.targets.options import TwoModes\nclass Mine(TwoModes):\n    pass\n")
    (where / "conf" / "experiment").mkdir(parents=True)
    (where / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nextensions: [mine]\ntarget: {_target_: mine.Mine}\n"
    )
    mine = ["--config-dir", "conf"]
    assert answer_here(*mine, "+experiment=mine", *SMALL, "hydra.run.dir=own", cwd=where)["status"] == 0
    answer = answer_here("-m", f"sweep.resume={as_sweep(where / 'own')}", "extensions=[mine]", cwd=where)
    assert answer["status"] == 0, answer
    for given in (["extensions=[mine]"], [*mine, "+experiment=mine"]):
        answer = answer_here(*given, "run=own", "stage=plot", cwd=where)
        assert answer["status"] == 0, answer
    assert "extensions=[mine]" in answer_here("run=own", "stage=plot", cwd=where)["err"]
    other = answer_here("extensions=[mine]", "+experiment=fig04_tanh", "run=own", "stage=plot", cwd=where)
    assert "experiment: unknown key" in other["err"]


LINKS = ["figures", "metrics.json", "samples.npy", "denoiser.safetensors", "run.log", ".lock", ".hydra"]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_a_directory_is_not_followed(stranger, name, tmp_path):
    outside = tmp_path / "victim" / ("figures" if name in ("figures", ".hydra") else "secret.txt")
    if (stranger / name).exists():
        shutil.move(stranger / name, tmp_path / "moved")
    (stranger / name).symlink_to(outside)
    before = victim(stranger)
    for answer in every_opening(stranger, stages=[STAGES[LINKS.index(name) % 3]]):
        assert "a link that leads out of" in answer["err"], answer
        assert answer["status"] == 1
    for reading in (gather, write_report):
        assert "a link that leads out of" in refused(ScorelabError, reading, stranger.parent)
    assert victim(stranger) == before


def test_a_file_with_a_second_name_elsewhere_is_left_as_it_is(stranger, tmp_path, undrawn):
    for name in ("run.log", "metrics.json", "figures/projection.npz"):
        shutil.copy(stranger / name, tmp_path / "victim" / "log.txt")
        (stranger / name).unlink()
        os.link(tmp_path / "victim" / "log.txt", stranger / name)
        (tmp_path / "victim" / "log.txt").rename(tmp_path / "victim" / name.rpartition("/")[2])
    before = victim(stranger)
    assert answer_here(f"run={stranger}", "stage=analyse", cwd=stranger.parents[2])["status"] == 0
    assert victim(stranger) == before
    (tmp_path / "victim" / "log.txt").write_text("precious")
    before = victim(stranger)
    os.link(tmp_path / "victim" / "log.txt", stranger / ".lock")
    assert "has a second name" in answer_here(f"run={stranger}", "stage=plot", cwd=stranger.parents[2])["err"]
    assert victim(stranger) == before


def test_the_log_of_a_running_process_is_left_to_it(stranger, tmp_path, undrawn):
    os.link(stranger / "run.log", tmp_path / "victim" / "log.txt")
    calls = [[f"run={stranger}", "stage=plot"], ["-m", f"sweep.resume={as_sweep(stranger)}", "sweep.dry_run=true"]]
    with Lock(stranger):
        statuses = [answer_here(*call, cwd=stranger.parents[2])["status"] for call in calls]
    assert statuses == [1, 0]
    assert (stranger / "run.log").samefile(tmp_path / "victim" / "log.txt")
    assert answer_here(*calls[0], cwd=stranger.parents[2])["status"] == 0
    assert not (stranger / "run.log").samefile(tmp_path / "victim" / "log.txt")
    (stranger / "run.log").unlink()
    (stranger / "run.log").mkdir()
    assert answer_here(*calls[0], cwd=stranger.parents[2])["err"].endswith("run.log: is no file\n")


def test_a_pickle_of_hydra_is_not_loaded(stranger):
    for word in ("--experimental-rerun", "--exp"):
        answer = answer_here(word, str(stranger / ".hydra" / "config.pickle"), cwd=stranger.parents[2])
        assert (answer["status"], "pickle" in answer["err"]) == (2, True), answer


def test_a_run_directory_that_is_named_by_a_link_is_opened(stranger, undrawn):
    link = stranger.parents[2] / "latest"
    link.symlink_to(stranger)
    answer = answer_here("run=latest", "stage=plot", cwd=link.parent)
    assert answer["status"] == 0, answer


def test_only_links_that_lead_out_are_refused(tmp_path):
    run = tmp_path / "run"
    (run / "0").mkdir(parents=True)
    (tmp_path / "running").mkdir()
    (run / "latest").symlink_to("0")
    (run / "circle").symlink_to("circle")
    require_closed(run)
    for name, leads in (("far", "/etc/hostname"), ("near", "../running"), ("gone", "../nothing")):
        (run / "0" / name).symlink_to(leads if name == "far" else f"../{leads}")
        message = refused(ScorelabError, require_closed, run)
        assert message == f"{run / '0' / name}: a link that leads out of {run}, which is not followed"
        (run / "0" / name).unlink()
    os.mkfifo(run / "status.json")
    assert "neither a file nor a folder" in refused(ScorelabError, require_closed, run)


def test_neither_a_file_that_waits_beside_nor_a_name_with_dots_leads_out(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f".a.json.{os.getpid()}.part").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "run" / "a.json", "mine")
    assert (tmp_path / "victim").read_text() == "precious"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a.json"]
    for name in ("../victim", str(tmp_path / "victim"), "a/../../victim"):
        assert "leads out of" in refused(ScorelabError, inside, tmp_path / "run", name), name


def test_a_place_outside_is_chosen_on_the_command_line_alone(stranger, tmp_path):
    docs = tmp_path / "victim"
    run = scorelab.run(
        ["study=claims", "claims.only=[S0-02]", "claims.quick=true", "claims.jobs=1"], "claims"
    ).directory
    changed(run, study__docs=str(docs), study__only=[])
    before = victim(stranger)
    assert "++claims.docs" in refused(ConfigError, scorelab.run, [f"run={run}", "stage=plot"])
    assert victim(stranger) == before
    scorelab.run([f"run={run}", "stage=plot", f"++claims.docs={docs}"])
    assert "S0-02" in (docs / "claims.md").read_text()
    results = json.loads((run / "claims.json").read_text())
    results[0]["id"] = "/../../../../victim/trajectories"  # of a figure that is called claim-ID.png
    (run / "claims.json").write_text(json.dumps(results))
    (run / "figures" / "claim-").mkdir(parents=True)
    scorelab.run([f"run={run}", "stage=plot", "++claims.docs=docs"])
    assert not list((tmp_path / "work" / "docs").rglob("*.png"))
    (tmp_path / "jobs.yaml").write_text(f"- {{study: claims, claims.docs: {docs}}}\n")
    listed = [f"sweep.jobs={tmp_path / 'jobs.yaml'}", "sweep.dry_run=true"]
    assert "claims.docs" in answer_here("-m", *listed, cwd=tmp_path)["err"]


def test_weights_outside_are_read_again_only_if_they_are_given_again(stranger, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests")
    given = "extensions=[networks]"
    changed(
        stranger,
        extensions=["networks"],
        denoiser={
            "_target_": "scorelab.denoisers.Module",
            "module": {"_target_": "networks.Plain", "width": 6},
            "prediction": "noise",
            "state": "angle",
            "time": "angle",
            "schedule": None,
            "angles": None,
            "weights": "/etc/hostname",
        },
    )
    status = json.loads((stranger / "status.json").read_text())
    (stranger / "status.json").write_text(json.dumps(status | {"state": "interrupted", "stages": []}))
    for call in ([f"training.resume={stranger}"], ["-m", f"sweep.resume={as_sweep(stranger)}"]):
        answer = answer_here(*call, given, cwd=stranger.parents[2])
        assert "denoiser.weights = /etc/hostname: a place outside" in answer["err"], answer
        answer = answer_here(*call, given, "++denoiser.weights=/etc/hostname", cwd=stranger.parents[2])
        assert "not a whole safetensors file" in answer["err"] + answer["out"], answer


@pytest.mark.parametrize(
    "key",
    [
        "hydra.sweep.dir: /tmp/elsewhere",
        "hydra.output_subdir: ../..",
        "hydra.run.dir: /tmp/elsewhere",
        "+hydra.callbacks.x._target_: payload.X",
        "hydra/launcher: joblib",
        "target@hydra.callbacks.x: two_modes",
        "hydra.searchpath: ['file:///tmp']",
        "sweep.resume: elsewhere",
        "extensions: [payload]",
        "~hydra: null",
        "target: ../../elsewhere/target",
    ],
)
def test_a_job_of_a_file_sets_nothing_of_the_whole_command(stranger, key, tmp_path):
    (tmp_path / "jobs.yaml").write_text(f"- {{{key}}}\n")
    assert "sweep.jobs = " in refused(ConfigError, read_jobs, tmp_path / "jobs.yaml")
    if key.startswith(("extensions", "target: ")):
        return  # the job of a sweep may name what was typed; nothing of it is composed again
    sweep, (name, _, value) = as_sweep(stranger), key.partition(": ")
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [[f"{name}={value}"]]}))
    before = victim(stranger)
    answer = answer_here("-m", f"sweep.resume={sweep}", cwd=stranger.parents[2])
    assert (answer["status"], "sweep.json" in answer["err"]) == (2, True), answer
    assert victim(stranger) == before


def test_the_report_deletes_and_embeds_nothing_outside(stranger, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "precious.png").write_text("precious")
    (docs / "mine.txt").write_text("mine")
    (docs / "report.md").write_text("![](..%2Fprecious.png) ![](mine.txt) ![](%2e%2e%2Fvictim%2Fsecret.txt)")
    status = json.loads((stranger / "status.json").read_text())
    caption = "fig02_relu](x) ![a](..%2Fprecious.png) ![b"
    (stranger / "status.json").write_text(json.dumps(status | {"overrides": [f"+experiment={caption}"]}))
    before = victim(stranger)
    write_report(stranger.parent, docs)
    assert "fig02_relu](x)" not in (docs / "report.md").read_text()
    write_report(stranger.parent, docs)
    after = victim(stranger)
    assert {name: after[name] for name in before if name != "docs/report.md"} == {
        name: content for name, content in before.items() if name != "docs/report.md"
    }


def test_what_a_file_says_steers_no_terminal_and_no_page(stranger, tmp_path, capsys):
    hostile = "\x1b]0;title\x07 [/nope] <b> \u202e\ud800 ![x](http://elsewhere)"
    status = json.loads((stranger / "status.json").read_text())
    more = {"state": "failed", "error": hostile, "overrides": [f"seed={hostile}", f"{hostile}=1"]}
    (stranger / "status.json").write_text(json.dumps(status | more))
    folder = shutil.copytree(stranger.parent, tmp_path / "[red]runs[/nope]")
    shutil.copytree(folder / "stranger", folder / "other")
    print_sweep(gather(folder), folder)
    write_report(folder)
    result = dict.fromkeys(("id", "verdict", "recorded", "fault", "source", "statement", "corrected"), hostile)
    (folder / "claims.md").write_text(page([result | {"seconds": 1, "error": hostile}], {hostile: []}, "figures", True))
    printed = capsys.readouterr().out
    assert "\\x1b]0;title\\x07 [/nope] <b> \\u202e" in printed
    assert "[red]runs[/nope]/sweep.md" in printed
    assert not set(printed) & set("\x1b\x07\u202e")
    for name in ("sweep.md", "report.md", "claims.md"):
        assert "<b>" not in (folder / name).read_text(errors="replace"), name
        assert "](http" not in (folder / name).read_text(errors="replace"), name
    changed(stranger, seed=hostile)
    assert not set(answer_here(f"run={stranger}", "stage=plot", cwd=tmp_path)["err"]) & set("\x1b\x07\u202e")


DEEP = "[" * 20_000
DAMAGED = {
    "status.json": (DEEP, "[1]", '{"state": "done", "wall_seconds": "long"}'),
    "metrics.json": (DEEP, "[1]", "null", '{"projection": 3}', '{"not_measured": {"w1": [1]}}'),
    "config.yaml": (DEEP, "[1]", "!!python/object/apply:os.system ['touch ran.txt']", "\xff\xfe"),
    ".hydra/overrides.yaml": (DEEP, "[", "!!python/object/apply:os.system ['touch ran.txt']"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_in_one_line(stranger, name):
    for content in DAMAGED[name]:
        if name == ".hydra/overrides.yaml":
            status = json.loads((stranger / "status.json").read_text())
            (stranger / "status.json").write_text(json.dumps(status | {"overrides": None}))
        (stranger / name).parent.mkdir(exist_ok=True)
        (stranger / name).write_bytes(content.encode("latin-1"))
        (row,) = gather(stranger.parent).to_dict("records")
        assert row["state"] == "unreadable", content
        assert name in row["error"], (content, row)
        write_report(stranger.parent)  # a run that cannot be read is a row of the report


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04cposix\nsystem\n.", b"\x93NUMPY"])
def test_arrays_that_cannot_be_read_are_named_in_one_line(tmp_path, content):
    (tmp_path / "laws.npz").write_bytes(content)
    assert "laws.npz: not a whole npz file" in refused(ScorelabError, load_arrays, tmp_path / "laws.npz")
    numpy.savez(tmp_path / "laws.npz", x=numpy.array([{}], dtype=object))
    assert "laws.npz: not a whole npz file" in refused(ScorelabError, load_arrays, tmp_path / "laws.npz")
