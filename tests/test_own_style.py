"""A style of the user's own lies on top of ours, is checked at the start, and is kept in the run."""

import matplotlib
import pytest
import yaml
from conftest import SMALL
from helpers import copied

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures.own_style import left_out, parameters, read
from scorelab.figures.style import house_style

STYLE = 'font.size: 9.5  # points\naxes.facecolor: "#EEEEEE"\nbackend: module://evil\naxes.prop_cycle: cycler()\n'


def test_only_the_look_counts_and_what_does_not_count_is_named(tmp_path):
    (tmp_path / "own.mplstyle").write_text(STYLE)
    text = read(str(tmp_path / "own.mplstyle"))
    assert parameters(text) == {"font.size": "9.5", "axes.facecolor": "#EEEEEE"}
    assert left_out(text) == "backend, axes.prop_cycle"
    assert read(text) == text.partition("\n")[2]  # the lines are a style too
    with house_style(text):
        assert matplotlib.rcParams["font.size"] == 9.5
        assert matplotlib.rcParams["axes.facecolor"] == "#EEEEEE"
        assert matplotlib.rcParams["pdf.fonttype"] == 42  # of ours
    with house_style(read("ggplot")):
        assert matplotlib.rcParams["axes.edgecolor"] == "white"


@pytest.mark.parametrize(
    ("style", "says"),
    [
        ("ggplott", "figures.style = ggplott: no such file, and no style of matplotlib; did you mean ggplot?"),
        ("font.sise: 9", "line 1: font.sise: unknown key; did you mean font.size?"),
        ("font.size: 9\nfont.size: large enough\n", "line 2: .*large enough"),
        ("font.size\n", "line 1, font.size: lines `key: value` are needed"),
    ],
)
def test_a_mistake_ends_the_run_in_one_line(style, says):
    with pytest.raises(ConfigError, match=says) as error:
        read(style)
    assert "\n" not in str(error.value)


def test_a_run_keeps_its_style_and_is_drawn_again_without_the_file(run_once, tmp_path):
    directory = copied(run_once(*SMALL), tmp_path / "run")
    for other in set((directory / "figures").glob("*.npz")) - {directory / "figures" / "projection.npz"}:
        other.unlink()  # to draw them all takes long
    file = tmp_path / "own.mplstyle"
    file.write_text("axes.labelsize: 13\n")
    plot = ["stage=plot", f"run={directory}", "figures.formats=[pdf]", "figures.dpi=50"]
    first = scorelab.run([*plot, f"figures.style={file}"])
    file.unlink()
    assert first.figures["projection"].axes[0].yaxis.label.get_size() == 13
    again = scorelab.run(plot)
    assert again.figures["projection"].axes[0].yaxis.label.get_size() == 13
    assert scorelab.run([*plot, "figures.style=null"]).figures["projection"].axes[0].yaxis.label.get_size() == 8
    assert "style" not in yaml.safe_load((directory / "config.yaml").read_text())["figures"]


def test_a_saved_configuration_names_no_file(run_once, tmp_path):
    directory = copied(run_once(*SMALL), tmp_path / "run")
    saved = yaml.safe_load((directory / "config.yaml").read_text())
    for style in ("ggplot", "/etc/hostname", "backend: module://evil\n"):
        saved["figures"]["style"] = style
        (directory / "config.yaml").write_text(yaml.safe_dump(saved))
        with pytest.raises(ScorelabError, match=r"figures\.style"):
            scorelab.run(["stage=plot", f"run={directory}"])
