"""Any folder with runs is gathered: at any depth, of any number, whatever was asked for."""

import json
import shutil

import pytest
import yaml
from conftest import SMALL
from helpers import over
from PIL import Image

import scorelab
from scorelab.figures import files, projection
from scorelab.lab import overviews as module
from scorelab.lab.gather import gather
from scorelab.lab.runs import beneath


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: path -> the figure, of which an empty file is written; and the titles of the last overview."""
    figures, titles, grid = {}, [], projection.grid

    def save(figure, path, dpi, style):
        figures[path.stem] = figure
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def record(panels):
        titles[:] = [title for title, _ in panels]
        return grid(panels)

    monkeypatch.setattr(files, "save_figure", save)
    monkeypatch.setattr(projection, "grid", record)
    return figures, titles


@pytest.fixture
def make(run_once, tmp_path):
    """A function that puts a finished run, with its overrides, into a place below a folder."""
    source = run_once(*SMALL).directory

    def put(place, *overrides, choices=None):
        run = tmp_path / "folder" / place
        (run / "figures").mkdir(parents=True)
        (run / ".hydra").mkdir()
        for name in ("config.yaml", "metrics.json", "figures/projection.npz"):
            shutil.copy(source / name, run / name)
        (run / "status.json").write_text(json.dumps({"state": "done", "overrides": list(overrides)}))
        if choices is not None:
            (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": choices}}}))
        return run

    return put


def test_runs_lie_at_any_depth_and_a_run_has_none_inside(make, tmp_path, drawn):
    for place in (
        "11-27/10-00-threads-1",
        "11-27/9",
        "11-26/9-sweep/10",
        "11-26/9-sweep/2",
        "top",
        "top/inside",
        ".no/a",
    ):
        make(place, f"seed={len(place)}")
    places = ["11-26/9-sweep/2", "11-26/9-sweep/10", "11-27/9", "11-27/10-00-threads-1", "top"]
    assert [run.path.relative_to(tmp_path / "folder").as_posix() for run in beneath(tmp_path / "folder")] == places
    assert list(gather(tmp_path / "folder")["job"]) == places


def test_a_title_names_options_and_values_and_is_short(make, tmp_path, drawn):
    make("a", "denoiser=tanh", "target.a={norm: 3.0}", "seed=1")
    make("b", "training.N=400", "seed=2", choices={"denoiser": "velocity"})
    make("c", "training.N=400", "seed=3")
    table = gather(tmp_path / "folder")
    assert list(table["denoiser"]) == ["tanh", "velocity", "OuterProduct"]
    assert drawn[1] == [
        "tanh, a={norm: 3.0}, seed=1, N=400",
        "velocity, a=1, seed=2, N=400",
        "OuterProduct, a=1, seed=3, N=400",
    ]
    for number in range(2):
        make(f"long{number}", *(f"k{key}={number}{'x' * 30}" for key in range(30)))
    gather(tmp_path / "folder")
    assert max(map(len, drawn[1])) <= 80


@over(("configurations", "seeds", "shown"), [(26, 2, 24), (10, 3, 10), (12, 2, 24)])
def test_a_picture_has_a_page_of_panels_and_the_page_says_what_is_left_out(
    configurations, seeds, shown, make, tmp_path, drawn, monkeypatch
):
    monkeypatch.setattr(module, "_COMPARED", 20)
    for number in range(configurations):
        for seed in range(seeds):
            run = make(f"{configurations}/{number}-{seed}", f"training.lr={number + 1}", f"seed={seed}")
            (run / "training.csv").write_text("epoch,step,loss\n1,4,2.0\n")
    table = gather(tmp_path / "folder" / str(configurations))
    assert len(table) == configurations * seeds
    figures, titles = drawn
    assert len(titles) == len({*titles}) == shown
    assert len({title.partition(",")[0] for title in titles}) == min(configurations, shown)
    assert max(figures["projection"].get_size_inches()) <= 11
    assert max(figures["comparison"].get_size_inches()) <= 11
    page = (tmp_path / "folder" / str(configurations) / "sweep.md").read_text()
    evenly = ", picked evenly" if configurations > shown else ""
    runs = configurations * seeds
    left_out = f"One run each of {shown} of {configurations} configurations{evenly}; there are {runs} runs."
    assert (left_out in page) == (configurations * seeds > 24)
    assert (f"24 of {configurations} configurations, picked evenly." in page) == (configurations > 24)
    assert (f"20 of {configurations} configurations, picked evenly." in page) == (configurations > 20)
    assert [title.partition(",")[0] for title in titles][-1] == f"lr={table['training.lr'].iloc[-1]:g}"


def test_each_configuration_is_compared_with_its_own_exact_value(make, tmp_path, drawn):
    for number, weight in enumerate((0.6, 0.6, 0.7, 0.7)):
        path = make(f"{number}", f"target.p={weight}", f"seed={number % 2}") / "metrics.json"
        metrics = json.loads(path.read_text())
        metrics["projection"] |= {"mode_weight_exact": weight, "w1_floor": 0.01 * (number + 1)}
        path.write_text(json.dumps(metrics))
    gather(tmp_path / "folder")
    arrays = files.load_arrays(tmp_path / "folder" / "figures" / "comparison.npz")
    assert arrays["exact.projection.mode_weight"].tolist() == [0.6, 0.7]
    assert arrays["exact.projection.w1"] == pytest.approx([0.015, 0.035])  # the means over seeds


def test_what_there_is_nothing_to_draw_of_any_more_is_removed(make, tmp_path, drawn):
    runs = [make(f"{number}", f"training.lr={number // 2}", f"seed={number % 2}") for number in range(4)]
    figures = tmp_path / "folder" / "figures"
    gather(tmp_path / "folder")
    (figures / "mine.png").touch()
    assert {path.name for path in figures.iterdir()} == {
        "projection.png",
        "comparison.png",
        "comparison.npz",
        "mine.png",
    }
    for run in runs[1:]:
        shutil.rmtree(run)
    (runs[0] / "figures" / "projection.npz").unlink()
    gather(tmp_path / "folder")
    assert {path.name for path in figures.iterdir()} == {"mine.png"}
    assert "![" not in (tmp_path / "folder" / "sweep.md").read_text()


def test_the_figures_of_many_runs_are_written_as_all_of_them_write_theirs(make, tmp_path):
    folder, look = tmp_path / "folder", {"formats": ["svg"], "dpi": 50, "style": "axes.linewidth: 3\n"}
    saved = [make(place, f"seed={place}") / "config.yaml" for place in ("1", "2")]
    for path in saved:
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"figures": look}))
    gather(folder)
    assert {path.name for path in (folder / "figures").iterdir()} == {"projection.png", "projection.svg"}
    with Image.open(folder / "figures" / "projection.png") as image:
        assert image.info["dpi"] == pytest.approx((50, 50), abs=0.1)
    assert scorelab.load(folder).figures["projection"].axes[0].spines["left"].get_linewidth() == 3
    for other in ({"formats": ["svg"], "dpi": 60}, {"style": "backend: module://evil\n"}, "none"):
        saved[0].write_text(yaml.safe_dump(yaml.safe_load(saved[0].read_text()) | {"figures": other}))
        gather(folder)
        assert {path.name for path in (folder / "figures").iterdir()} == {"projection.png"}
