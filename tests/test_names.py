"""Names of directories: what a run is called, and what the command line reads, whatever a directory is called."""

import os
import shlex

import pytest
from conftest import SMALL
from helpers import answer_here, copied, over, refused
from hydra.core.override_parser.overrides_parser import OverridesParser

import scorelab
from scorelab.errors import ConfigError
from scorelab.lab.names import as_override, newest, override_names, pasted, readable
from scorelab.lab.runs import Run

ODD = (
    *("18-52-58-threads=1,seed=2", "it's", "50% off", 'a "b"', "a'b'", "é", "[1]", "(a)", "{a", "2024", "1e3", " lead"),
    *("back\\slash", "a\\'b", "end\\", "a:b", "~home", "#a", "a&b", "a;b", "true", "True", "nan", "a\tb"),
)


def parsed(word):
    return OverridesParser.create().parse_override(word).value()


def test_the_name_of_a_run_says_what_was_asked_for_and_is_read_without_quotation_marks():
    asked = ["denoiser=tanh", "target.a=[1,2]", "+x=a/b c", "hydra.run.dir=z", "~y", "a.lr=-1e-4", "b='é, =x'"]
    name = override_names(asked)
    assert name == "-denoiser-tanh+target.a-12+x-abc+y+a.lr--1e-4+b--x"
    for path in (name[1:], f"outputs/2026-11-27/18-52-58{name}"):
        assert parsed(f"run={path}") == path
        assert readable([f"run={path}"]) == [f"run={path}"]
        assert shlex.quote(path) == path
    assert override_names([]) == ""
    assert len(override_names([f"k{i}=1" for i in range(100)])) <= 101


@over("name", ODD)
def test_any_path_is_read_as_it_stands_and_as_it_is_printed(name):
    for key in ("run", "training.resume", "sweep.resume", "sweep.jobs", "+run", "hydra.run.dir", "hydra.sweep.dir"):
        for word in (f"{key}={name}", f"{key}={as_override(name)}", *shlex.split(pasted(key, name))):
            assert parsed(readable([word])[0]) == name, word
    (word,) = shlex.split(pasted("++denoiser.weights", name))  # a path that need not be there
    assert str(parsed(readable([word])[0])) == name


def test_other_words_stay_as_they_are_and_paths_that_exist_are_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "-m",
        "--config-dir=a=b",
        "run=null",
        "run='a b'",
        "hydra.run.dir=${now:%Y}/x",
        "a=b=c",
        "seed=1,2",
        "run=",
    ]
    assert readable(words) == words
    (tmp_path / "b=c").touch()
    assert readable(["a=b=c"]) == ["a='b=c'"]


def test_last_is_what_was_begun_last_and_no_job_of_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key in ("run", "training.resume", "sweep.resume"):
        assert f"{key} = last: there is no " in refused(ConfigError, readable, [f"{key}=last"])
    records = ["day/a/.hydra/overrides.yaml", "day/b=1/.hydra/overrides.yaml", "day/s/sweep.json", "t/sweep.json"]
    records += ["day/s/0/.hydra/overrides.yaml", "day/a/status.json", "day/b=1/status.json", "day/s/0/status.json"]
    for second, record in enumerate(records):  # the first run has been drawn again since the second one was begun
        path = tmp_path / "outputs" / record
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"state": "done"}')
        os.utime(path, (second, second))
    os.utime(tmp_path / "outputs/day/a/status.json", (99, 99))
    for name, state in (("c", "failed"), ("d", "interrupted"), ("e", "failed")):  # later ones that did not end well
        (tmp_path / "outputs/day" / name).mkdir()
        (tmp_path / "outputs/day" / name / "status.json").write_text(f'{{"state": "{state}"}}')
    assert str(newest("run")) == "outputs/day/b=1"
    assert readable(["training.resume=last"]) == ["training.resume='outputs/day/d'"]
    assert readable(["run=last", "sweep.resume=last"]) == ["run='outputs/day/b=1'", "sweep.resume='outputs/t'"]
    assert readable(["run=./last", "seed=last"]) == ["run=./last", "seed=last"]


def test_runs_and_sweeps_are_made_and_opened_again_under_odd_names(tmp_path, run_once, undrawn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "it's, =50% [off]"
    place.mkdir()
    old = copied(run_once(*SMALL), place).rename(place / "18-52-58-threads=1,seed=2")
    for call in ([f"run={old}", "stage=plot"], [f"training.resume={old}"]):
        assert answer_here(*call, cwd=tmp_path)["status"] == 0, call
        assert scorelab.run(call).directory == old
    one = [*SMALL, "stage=train", f"hydra.run.dir={place / 'one'}"]
    two = ["-m", *SMALL, "stage=train", "seed=0,1", f"hydra.sweep.dir={place / 'two'}"]
    for call in (one, two, ["-m", f"sweep.resume={place / 'two'}"]):
        answer = answer_here(*call, cwd=tmp_path)
        assert answer["status"] == 0, answer
    assert [Run(place / name).state for name in ("one", "two/0", "two/1")] == ["done"] * 3
    conf = place / "conf" / "denoiser"
    conf.mkdir(parents=True)
    (conf / "own.yaml").write_text("defaults: [velocity, _self_]\nm: 5\n")
    answer = answer_here("--config-dir", conf.parent, "--cfg", "job", "denoiser=own", cwd=tmp_path)
    assert "m: 5" in answer["out"]
    small = [word for word in SMALL if not word.startswith("denoiser.")]
    assert (
        scorelab.run([*small, "denoiser=own", "stage=train"], config_dir=conf.parent).config["denoiser"].data["m"] == 5
    )
    again = scorelab.run(["run=last", "stage=sample"])
    assert again.config["denoiser"].data["m"] == 5
    assert again.directory.name.endswith("-stage-sample")


def test_what_an_interrupted_run_prints_can_be_pasted(tmp_path, monkeypatch, caplog):
    from scorelab.studies import Generate

    def interrupted(study, stage, context):
        raise KeyboardInterrupt

    monkeypatch.setattr(Generate, "run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt), caplog.at_level("ERROR", logger="scorelab"):
        scorelab.run(SMALL, tmp_path / "it's 18=1")
    (said,) = [record.getMessage() for record in caplog.records if "goes on" in record.getMessage()]
    (word,) = shlex.split(said.removeprefix("interrupted; ").removesuffix(" goes on"))
    monkeypatch.undo()
    assert scorelab.run([word]).directory == tmp_path / "it's 18=1"
