"""A study of a user's own: the one of the guide, and one that declares nothing."""

import json
import subprocess
import sys

import numpy
import pandas
import pytest
from test_cli import ROOT
from test_docs import blocks

import scorelab
from scorelab.lab.summary import summary


@pytest.fixture
def lab(tmp_path):
    """The folder of the guide, and a callback that writes down what a sweeper gets."""
    page = "docs/extending.md"
    (tmp_path / "my_lab" / "conf" / "study").mkdir(parents=True)
    (tmp_path / "my_lab" / "__init__.py").write_text("import my_lab.study")
    (code,) = [block for block in blocks(page, "python") if "(Study)" in block]
    (options,) = [block for block in blocks(page, "yaml") if "my_lab.study" in block]
    (tmp_path / "my_lab" / "study.py").write_text(code)
    (tmp_path / "my_lab" / "conf" / "study" / "means.yaml").write_text(options)
    (tmp_path / "heard.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Heard(Callback):\n"
        "    def on_job_end(self, config, job_return, **_):\n"
        "        with open('heard.txt', 'a') as file:\n"
        "            print(job_return.return_value, file=file)\n"
    )
    return tmp_path


def run_py(lab, *overrides):
    command = [sys.executable, ROOT / "run.py", "--config-dir", "my_lab/conf"]
    asked = [*overrides, "extensions=[my_lab]", "threads=1"]
    environment = {"PYTHONPATH": f"{lab}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*command, *asked], cwd=lab, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_study_of_the_guide_draws_its_figure_and_closes_with_its_table(lab):
    shown = run_py(lab, "study=means", "hydra.run.dir=here")
    row = next(line for line in shown.splitlines() if line.startswith("squared error over variance/N"))
    found = json.loads((lab / "here" / "metrics.json").read_text())["means"]
    assert row.split()[-1] == f"{found['last_over_exact']:.4g}"
    assert found["last_over_exact"] == pytest.approx(1, abs=0.4)
    distance = numpy.subtract(found["error"], found["error_exact"]) / found["error_standard_error"]
    assert numpy.abs(distance).max() < 4
    assert (lab / "here" / "figures" / "means.png").stat().st_size > 5000
    config = (lab / "here" / "config.yaml").read_text()
    assert "target:" in config
    assert "sampler:" not in config


def test_a_sweep_of_the_study_has_its_columns_and_gives_its_goal_to_the_sweeper(lab):
    listening = "+hydra.callbacks.h._target_=heard.Heard"
    run_py(lab, "-m", "study=means", "study.repeats=50,100", "hydra.sweep.dir=here", listening)
    table = pandas.read_csv(lab / "here" / "sweep.csv")
    assert list(table["study.repeats"]) == [50, 100]
    heard = [float(line) for line in (lab / "heard.txt").read_text().split()]
    assert heard == list(table["means.last_over_exact"])
    text = (lab / "here" / "sweep.md").read_text()
    assert "| study.repeats | count | squared error over variance/N |" in text
    assert f"| 50 | 1 | {heard[0]:.4g} |" in text


def test_the_claim_of_the_study_is_measured_with_the_others(lab):
    assert "1 holds" in run_py(lab, "study=claims", "claims.only=[S6]", "claims.quick=true", "claims.jobs=1")


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
