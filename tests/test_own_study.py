"""A study and a network of a user's own: those of the guide, in one process, and a study that declares nothing."""

import json

import numpy
import pandas
import pytest
from conftest import SMALL
from helpers import ROOT, answers_of, blocks, refused
from safetensors.torch import save_file

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.summary import summary
from scorelab.randomness import default_stream

PAGE = "docs/extending.md"
PARTS = [override for override in SMALL if not override.startswith("denoiser.")]
LISTENING = "+hydra.callbacks.h._target_=heard.Heard"
#: name -> what is asked for, all of it in one process
CALLS = {
    "means": ["study=means", "hydra.run.dir=means"],
    "sweep": ["-m", "study=means", "study.repeats=50,100", "hydra.sweep.dir=sweep", LISTENING],
    "claim": ["study=claims", "claims.only=[S6]", "claims.quick=true", "claims.jobs=1"],
    "frozen": ["denoiser=epsilon", *PARTS, "stage=train", "training.enabled=false", "hydra.run.dir=frozen"],
    "tuned": ["denoiser=epsilon", *PARTS, "stage=train", "training.enabled=true", "hydra.run.dir=tuned"],
}


def block(language, text):
    (found,) = [each for each in blocks(PAGE, language) if text in each]
    return found


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """The folder in which somebody did everything that the guide shows, and the answers to it."""
    where = tmp_path_factory.mktemp("guide")
    lab, conf = where / "my_lab", where / "my_lab" / "conf"
    for folder in (conf / "study", conf / "denoiser"):
        folder.mkdir(parents=True)
    (lab / "__init__.py").write_text("import my_lab.study")
    (lab / "study.py").write_text(block("python", "(Study)"))
    (conf / "study" / "means.yaml").write_text(block("yaml", "my_lab.study"))
    (lab / "epsilon.py").write_text(block("python", "class Epsilon"))
    (conf / "denoiser" / "epsilon.yaml").write_text(block("yaml", "Epsilon"))
    namespace = {}
    exec(block("python", "class Epsilon"), namespace)
    with default_stream(9):
        save_file(namespace["Epsilon"](8, 16).state_dict(), where / "epsilon.safetensors")
    (where / "heard.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Heard(Callback):\n"
        "    def on_job_end(self, config, job_return, **_):\n"
        "        with open('heard.txt', 'a') as file:\n"
        "            print(job_return.return_value, file=file)\n"
    )
    calls = [["--config-dir", "my_lab/conf", *asked, "extensions=[my_lab]"] for asked in CALLS.values()]
    answers = answers_of(*calls, cwd=where, PYTHONPATH=f"{where}:{ROOT / 'src'}")
    return where, {name: answer for name, (_, answer) in zip(CALLS, answers, strict=True)}


def test_the_study_of_the_guide_draws_its_figure_and_closes_with_its_table(guide):
    where, answers = guide
    assert answers["means"]["status"] == 0, answers["means"]
    lines = answers["means"]["out"].splitlines()
    row = next(line for line in lines if line.startswith("squared error over variance/N"))
    found = json.loads((where / "means" / "metrics.json").read_text())["means"]
    assert row.split()[-1] == f"{found['last_over_exact']:.4g}"
    assert found["last_over_exact"] == pytest.approx(1, abs=0.4)
    distance = numpy.subtract(found["error"], found["error_exact"]) / found["error_standard_error"]
    assert numpy.abs(distance).max() < 4
    assert (where / "means" / "figures" / "means.png").stat().st_size > 5000
    config = (where / "means" / "config.yaml").read_text()
    assert "target:" in config
    assert "sampler:" not in config


def test_a_sweep_of_the_study_has_its_columns_and_gives_its_goal_to_the_sweeper(guide):
    where, answers = guide
    assert answers["sweep"]["status"] == 0, answers["sweep"]
    table = pandas.read_csv(where / "sweep" / "sweep.csv")
    assert list(table["study.repeats"]) == [50, 100]
    heard = [float(line) for line in (where / "heard.txt").read_text().split()]
    assert heard == list(table["means.last_over_exact"])
    text = (where / "sweep" / "sweep.md").read_text()
    assert "| study.repeats | count | squared error over variance/N |" in text
    assert f"| 50 | 1 | {heard[0]:.4g} |" in text


def test_the_claim_of_the_study_is_measured_with_the_others(guide):
    answer = guide[1]["claim"]
    assert answer["status"] == 0, answer
    assert "1 holds" in answer["out"]


def test_the_network_of_the_guide_is_trained_or_stays_as_its_file_has_it(guide):
    where, answers = guide
    for name, steps in (("frozen", 0), ("tuned", 16)):
        assert answers[name]["status"] == 0, answers[name]
        assert json.loads((where / name / "metrics.json").read_text())["training"]["steps"] == steps, name


def test_arrays_without_a_figure_are_kept_and_the_log_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "plain_lab.py").write_text(
        "import numpy\n"
        "from scorelab.studies import Study\n"
        "class Plain(Study):\n"
        "    uses = ()\n"
        "    width: int\n"
        "    def run_stage(self, stage, context):\n"
        "        if stage == 'analyse':\n"
        "            context.update_metrics('plain', {'one': 1.0})\n"
        "            context.save_arrays('plain', {'x': numpy.arange(self.width)})\n"
        "        if stage == 'plot':\n"
        "            context.draw_figures()\n"
    )
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "plain.yaml").write_text("_target_: plain_lab.Plain\nwidth: 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = scorelab.run(["study=plain", "extensions=[plain_lab]"], tmp_path / "run", tmp_path / "conf")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "done"
    assert list(result.arrays["plain"]["x"]) == [0, 1, 2]
    assert result.figures == {}
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["plain.npz"]
    line = "figures/plain.npz: not drawn, as Plain declares no figure plain"
    assert line in (tmp_path / "run" / "run.log").read_text()
    summary(scorelab.Run(tmp_path / "run"), result.config.study)
    assert "metrics.json" in capsys.readouterr().out


def test_what_only_an_earlier_run_of_a_stage_wrote_is_removed_with_its_pictures(tmp_path, monkeypatch):
    (tmp_path / "parted_lab.py").write_text(
        "from scorelab.figures.style import new_figure\n"
        "from scorelab.studies import Study\n"
        "from scorelab.studies.base import draw_figures\n"
        "def analyse(study, context):\n"
        "    context.update_metrics('parted', {'one': 1.0})\n"
        "    for part in study.parts:\n"
        "        context.write_table(f'{part}.csv', [{'x': 1.0}])\n"
        "        context.save_arrays(f'part-{part}', {'x': [1.0]})\n"
        "class Parted(Study):\n"
        "    uses = ()\n"
        "    stages = {'first': lambda study, context: context.write_table('first.csv', [{'x': 1.0}]),\n"
        "              'analyse': analyse, 'plot': draw_figures}\n"
        "    changes = {'analyse': ('study',)}\n"
        "    figures = {'part': lambda arrays: new_figure(1, 1)}\n"
        "    parts: list[str]\n"
    )
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "parted.yaml").write_text("_target_: parted_lab.Parted\nparts: [a, b]\n")
    monkeypatch.syspath_prepend(tmp_path)
    conf, run = tmp_path / "conf", tmp_path / "run"
    scorelab.run(["study=parted", "extensions=[parted_lab]", "figures.formats=[png,svg]"], run, conf)
    (run / "notes.csv").write_text("mine")
    names = {"first.csv", "notes.csv", "a.csv", "b.csv"}
    assert {path.name for path in run.glob("*.csv")} == names
    again = ["study=parted", "extensions=[parted_lab]", f"run={run}", "stage=analyse"]
    scorelab.run([*again, "study.parts=[b,c]"], config_dir=conf)
    assert {path.name for path in run.glob("*.csv")} == names - {"a.csv"} | {"c.csv"}
    pictures = {f"part-{part}.{kind}" for part in "bc" for kind in ("npz", "png", "svg")}
    assert {path.name for path in (run / "figures").iterdir()} == pictures
    status = json.loads((run / "status.json").read_text())
    status["files"]["analyse"] += ["metrics.json", "config.yaml", "first.csv"]  # of other stages, or no table
    (run / "status.json").write_text(json.dumps(status))
    scorelab.run([*again, "study.parts=[]", "figures.formats=[]"], config_dir=conf)
    assert {path.name for path in run.iterdir()} >= {"metrics.json", "config.yaml", "first.csv", "notes.csv"}
    assert list((run / "figures").iterdir()) == []
    status["files"]["analyse"] = ["../elsewhere.csv"]
    (tmp_path / "elsewhere.csv").touch()
    (run / "status.json").write_text(json.dumps(status))
    assert "leads out of" in refused(ScorelabError, scorelab.run, [*again, "study.parts=[]"], None, conf)
    assert (tmp_path / "elsewhere.csv").is_file()
