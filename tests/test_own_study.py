"""A study of a user's own that declares no figure, and one whose parts change."""

import json

from helpers import refused

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.summary import summary


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
