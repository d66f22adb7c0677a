"""Parts of a user's own: the folder my_lab, each file as a page of docs/extending shows it, used in one process."""

import json

import numpy
import pandas
import pytest
import torch
from conftest import SMALL
from helpers import ROOT, answers_of, write_guide
from safetensors.torch import save_file

from scorelab.randomness import default_stream

PARTS = [override for override in SMALL if not override.startswith("denoiser.")]
LISTENING = "+hydra.callbacks.h._target_=heard.Heard"
OWN = [*PARTS, "target=corners", "sampler=two_slopes", "grid@schedule.grid=power", "schedule.grid.power=1.5"]
#: name -> what is asked for, all of it in one process
CALLS = {
    "parts": ["denoiser=two_layers", "denoiser.width=32", *OWN, "hydra.run.dir=parts"],
    "preset": ["+experiment=mine", "denoiser=exact", *OWN, "stage=train", "hydra.run.dir=preset"],
    "exact": ["denoiser=exact", *OWN, "schedule=straight_line", "hydra.run.dir=exact"],
    "process": ["process=first_half", "denoiser=exact", *PARTS, "hydra.run.dir=process"],
    "means": ["study=means", "hydra.run.dir=means"],
    "sweep": ["-m", "study=means", "study.repeats=50,100", "hydra.sweep.dir=sweep", LISTENING],
    "claims": ["study=claims", "claims.only=[S5,S6]", "claims.quick=true", "claims.jobs=1"],
    "frozen": ["denoiser=epsilon", *PARTS, "stage=train", "training.enabled=false", "hydra.run.dir=frozen"],
    "tuned": ["denoiser=epsilon", *PARTS, "stage=train", "training.enabled=true", "hydra.run.dir=tuned"],
}


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """The folder in which somebody did everything that the guide shows, and the answers to it."""
    where = tmp_path_factory.mktemp("guide")
    lab = write_guide(where)
    namespace = {}
    exec((lab / "epsilon.py").read_text(), namespace)
    with default_stream(9):
        save_file(namespace["Epsilon"](8, 16).state_dict(), where / "epsilon.safetensors")
    (where / "heard.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Heard(Callback):\n"
        "    def on_job_end(self, config, job_return, **_):\n"
        "        with open('heard.txt', 'a') as file:\n"
        "            print(job_return.return_value, file=file)\n"
    )
    named = {name: [] if name == "preset" else ["extensions=[my_lab]"] for name in CALLS}
    calls = [["--config-dir", "my_lab/conf", *asked, *named[name]] for name, asked in CALLS.items()]
    answers = answers_of(*calls, cwd=where, PYTHONPATH=f"{where}:{ROOT / 'src'}")
    return where, {name: answer for name, (_, answer) in zip(CALLS, answers, strict=True)}


def test_every_call_of_the_guide_ends_well(guide):
    for name, answer in guide[1].items():
        assert answer["status"] == 0, f"{name}: {answer}"


def test_the_network_the_target_the_sampler_and_the_grid_of_the_guide_run_together(guide):
    missing = json.loads((guide[0] / "parts" / "metrics.json").read_text())["not_measured"]
    assert "projection.w1" in missing
    assert "path_kl.total" not in missing
    assert "width: 32" in (guide[0] / "parts" / "config.yaml").read_text()


def test_the_exact_denoiser_of_the_guide_samples_the_corners_on_the_clock_of_the_guide(guide):
    corners = numpy.load(guide[0] / "exact" / "samples.npy")
    assert numpy.abs(corners).mean() == pytest.approx(1, abs=0.02)
    assert numpy.abs(corners.mean()) < 5 / corners.size**0.5


def test_the_clock_of_the_guide_gives_its_states_and_its_sde(guide):
    namespace = {}
    exec((guide[0] / "my_lab" / "clocks.py").read_text(), namespace)
    clock = namespace["StraightLine"](grid="native", margin=0.01)
    times = torch.tensor([0.02, 0.5, 0.97], dtype=torch.float64)
    state, back = clock.from_angle(*clock.to_angle(torch.ones(3, 2, dtype=torch.float64), times))
    torch.testing.assert_close((state, back), (torch.ones_like(state), times))
    assert clock.angle(0.5).item() == pytest.approx(torch.pi / 4)
    # towards the noise s falls: f = -1/s, g^2 = 2 (1 - s)/s
    torch.testing.assert_close((clock.drift(times), clock.diffusion(times) ** 2), (-1 / times, 2 * (1 - times) / times))


def test_the_process_of_the_guide_is_a_process_of_the_main_job(guide):
    found = json.loads((guide[0] / "process" / "metrics.json").read_text())
    assert found["projection"]["mode_weight"] == pytest.approx(0.7, abs=0.15)


def test_the_study_of_the_guide_draws_its_figure_and_closes_with_its_table(guide):
    where, answers = guide
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
    where = guide[0]
    table = pandas.read_csv(where / "sweep" / "sweep.csv")
    assert list(table["study.repeats"]) == [50, 100]
    heard = [float(line) for line in (where / "heard.txt").read_text().split()]
    assert heard == list(table["means.last_over_exact"])
    text = (where / "sweep" / "sweep.md").read_text()
    assert "| study.repeats | count | squared error over variance/N |" in text
    assert f"| 50 | 1 | {heard[0]:.4g} |" in text


def test_the_claims_of_the_guide_are_measured_with_the_others(guide):
    assert "2 holds" in guide[1]["claims"]["out"]


def test_the_network_of_the_guide_is_trained_or_stays_as_its_file_has_it(guide):
    for name, steps in (("frozen", 0), ("tuned", 16)):
        assert json.loads((guide[0] / name / "metrics.json").read_text())["training"]["steps"] == steps, name
