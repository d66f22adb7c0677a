"""A doctoral student with a paper to write: one network and many samplers, curves, figures for print, a notebook."""

import json

import pandas
import torch

import scorelab

PLANE = "target=mixture target.n=2 'target.means=[[-2,0],[2,0],[0,3]]' target.std=0.5"


def test_one_network_is_sampled_in_many_ways_and_stays_as_it_is(user):
    user.types("python run.py hydra.run.dir=outputs/net", quick=True)
    before = (user.folder / "outputs/net/metrics.json").read_bytes()
    many = "-m stage=sample run=outputs/net sampler=ddim,heun sampler.steps=4,8 sampler.count=100"
    user.types(f"python run.py {many} hydra.sweep.dir=outputs/many")
    table = pandas.read_csv(user.folder / "outputs/many/sweep.csv")
    assert table[["sampler", "sampler.steps"]].values.tolist() == [["ddim", 4], ["ddim", 8], ["heun", 4], ["heun", 8]]
    assert table["sampling.nfe"].tolist() == [4, 8, 8, 16]
    assert table["path_kl.total"].nunique() == 1
    assert (user.folder / "outputs/net/metrics.json").read_bytes() == before
    assert "training.N" in user.types("python run.py stage=sample run=outputs/net training.N=50", status=2)


def test_a_sweep_over_a_number_is_a_curve_over_it(user):
    user.types("python run.py -m training.N=100,200,400 seed=0,1 hydra.sweep.dir=outputs/n", quick=True)
    assert user.finds("outputs/n/figures/curves.png")
    summary = scorelab.load(user.folder / "outputs/n").summary
    assert len(summary) == 3


def test_two_dimensions_have_pictures_in_the_plane(user):
    user.types(f"python run.py {PLANE} study.trajectories=20 hydra.run.dir=outputs/plane", quick=True)
    figures = scorelab.load(user.folder / "outputs/plane").figures
    assert {"plane", "fields", "flow"} <= set(figures)
    assert figures["plane"]._repr_png_()[:4] == b"\x89PNG"


def test_figures_take_the_style_of_a_journal(user):
    (user.folder / "journal.mplstyle").write_text("axes.labelsize: 13\n")
    words = "study=conditional_mean study.points=20 figures.style=journal.mplstyle hydra.run.dir=outputs/styled"
    user.types(f"python run.py {words} 'figures.formats=[pdf]'")
    (figure,) = scorelab.load(user.folder / "outputs/styled").figures.values()
    assert figure.axes[0].xaxis.label.get_size() == 13
    assert "figures.style" in user.types("python run.py figures.style=gone.mplstyle", status=2)


def test_a_run_is_loaded_and_shows_itself(user):
    user.types("python run.py hydra.run.dir=outputs/run", quick=True)
    result = scorelab.load(user.folder / "outputs/run")
    assert result.table.loc["mode weight", "reference"] == 0.7
    assert "<table" in result._repr_html_()
    x = result.target.sample(3, torch.Generator().manual_seed(0))
    assert result.denoiser(x, 0.7).shape == x.shape
    assert result.figures["projection"]._repr_png_()[:4] == b"\x89PNG"


def test_a_network_for_any_law_is_one_word(user):
    words = f"denoiser=mlp denoiser.width=16 {PLANE} hydra.run.dir=outputs/mlp"
    user.types(f"python run.py {words}", quick=True)
    assert json.loads((user.folder / "outputs/mlp/metrics.json").read_text())["path_kl"]["total"] > 0


def test_the_meaning_of_a_key_is_asked_on_the_command_line(user):
    said = user.types("python run.py target=density --help")
    assert "target.shape" in said
    assert "rings" in said
    assert "evaluate" in user.types("scorelab --help")


def test_nonsense_is_one_line_and_leaves_nothing(user):
    for words in ("target=density target.shape=ring", "target.direction=east", "denoiser=mlp denoiser.depth=0"):
        user.types(f"python run.py {words}", status=2)
        assert user.err.count("\n") == 1
        assert not user.finds("*")
