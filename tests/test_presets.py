"""The presets of conf/experiment: each composes and builds, and says what was published."""

import itertools

import pytest
import yaml
from helpers import composed, seeded

from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.lab.job_words import read_jobs
from scorelab.reproduction.semester.published import published

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
OF_THE_THESIS = [name for name in PRESETS if name.startswith("thesis_")]
OF_SECTION_7 = [name for name in PRESETS if name not in ("fig01_exact", "fig09_two_stage", *OF_THE_THESIS)]
JOBS = config_folder().parent / "scripts" / "jobs"


def budget(setting):
    """N and epochs of a setting."""
    return {1: (5000, 500), 2: (20000, 500), 3: (20000, 2000), 4: (20000, 2000)}[setting]


def size(setting, protocol):
    """L and m of a setting; the larger network is in the text alone."""
    return (6, 512) if setting == 4 and protocol != "author" else (3, 256)


def checked(*overrides):
    return check(composed(*overrides))


def assert_published(config, name, setting, protocol):
    """Budget, network and samples of a preset of section 7 are those of its setting and protocol."""
    case, data = (name, setting, protocol), config.data
    training, denoiser, study = data["training"], data["denoiser"], data["study"]
    network = denoiser.get("network", denoiser)
    assert (training["N"], training["epochs"]) == budget(setting), case
    assert (network["L"], network["m"]) == size(setting, protocol), case
    assert network["activation"] == ("relu" if "relu" in name else "tanh"), case
    assert network["parametrization"] == "skip", case
    assert training["validation"] == (0.4 if protocol == "author" else 0.0), case
    assert study["posterior_mean_data"] == ("samples" if protocol == "author" else "target"), case
    if "phase" in name:
        assert denoiser["switches"] == study["posterior_mean_switches"] == [2.0 if protocol == "author" else 1.0], case
    assert data["sampler"]["_target_"].endswith("EulerMaruyama"), case
    assert (data["sampler"]["steps"], data["schedule"]["grid"]) == (199, "angle"), case
    end = 24.3 if "phase" in name else 10.45 if "mixture" in name else 99.33
    assert config["schedule"].options.end_snr == pytest.approx(end, rel=2e-3), case


def test_the_published_numbers_are_those_of_the_paper_and_of_its_code():
    for setting, protocol in itertools.product((1, 2, 3, 4), ("paper", "author", "fast")):
        numbers = [published(key, setting, protocol) for key in ("N", "epochs", "L", "m", "switch")]
        switch = 2.0 if protocol == "author" else 1.0
        assert numbers == [*budget(setting), *size(setting, protocol), switch], (setting, protocol)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_composes_and_builds(name):
    config = checked(f"+experiment={name}")
    target = config["target"].build(generator=seeded(0)) if config.uses("target") else None
    for group in config.components:
        known = {} if target is None else {"n": target.n, "target": target}
        assert config[group].build(generator=seeded(0), **known) is not None, group


@pytest.mark.parametrize("name", OF_SECTION_7)
def test_a_preset_takes_its_setting_and_its_protocol(name):
    for setting, protocol in ((1, "author"), (4, "paper"), (4, "fast")):
        config = checked(f"+experiment={name}", f"setting={setting}", f"training={protocol}")
        assert_published(config, name, setting, protocol)


def test_the_long_reproduction_does_every_figure_in_every_published_setting():
    jobs = read_jobs(JOBS / "reproduce_paper.yaml")
    configs = [checked(*job) for job in jobs]
    assert len({config.fingerprint for config in configs}) == len(jobs) == 42
    done = set()
    for config, job in zip(configs, jobs, strict=True):
        asked = dict(override.lstrip("+").split("=") for override in job)
        if asked["experiment"] in OF_SECTION_7:
            case = asked["experiment"], int(asked["setting"]), asked["training"]
            assert_published(config, *case)
            done.add(case)
    figures = {name for name, _, _ in done}
    assert done == set(itertools.product(figures, (1, 2, 3, 4), ("paper", "author")))
    assert len(figures) == 5


def test_the_short_reproduction_has_twelve_jobs_that_differ():
    jobs = read_jobs(JOBS / "reproduce_quick.yaml")
    assert len({checked(*job).fingerprint for job in jobs}) == len(jobs) == 12


def test_the_reproduction_of_the_thesis_has_every_figure_and_its_images_their_budget(monkeypatch):
    jobs = [checked(*job) for job in read_jobs(JOBS / "reproduce_thesis.yaml")]
    assert len({job.fingerprint for job in jobs}) == len(jobs) == 22
    monkeypatch.setenv("IMAGES", "somewhere")
    for job in read_jobs(JOBS / "reproduce_thesis_images.yaml"):
        data = composed(*job)
        assert data["target"]["source"] == "somewhere"
        assert (data["training"]["N"], data["training"]["epochs"], data["denoiser"]["dim"]) == (60000, 15, 28)


def test_what_is_asked_for_wins_over_the_setting():
    data = checked("+experiment=fig02_relu", "setting=3", "training.epochs=7", "denoiser.m=16").data
    assert (data["training"]["N"], data["training"]["epochs"], data["denoiser"]["m"]) == (20000, 7, 16)


def test_a_setting_that_there_is_not_is_one_line():
    with pytest.raises(ConfigError, match=r"^setting = 9: allowed are 1, 2, 3, 4$"):
        composed("+experiment=fig02_relu", "setting=9")
    with pytest.raises(ConfigError, match="setting = None"):
        published("N", None, "paper")


def _written(name):
    return yaml.safe_load((config_folder() / "experiment" / f"{name}.yaml").read_text())


def test_the_figures_of_the_thesis_have_its_steps_and_noise():
    """Section 3.3: (i, ii) figures 1 to 3, (iii) 4 to 6, (iv) 7 to 12, (v) 13 to 15; section 4.3: figure 16."""
    figures = [f"thesis_fig{number:02d}" for number in range(1, 17)]
    assert {*figures} <= {*OF_THE_THESIS}
    printed = [(0.1, 0.01, "constant"), (1.0, 0.01, "constant"), (0.1, 0.1, "constant")]
    printed += [(0.1, 0.001, "constant"), (0.1, 0.1, "decreasing")]
    for first, values in zip(range(0, 15, 3), printed, strict=True):
        name, *others = figures[first : first + 3]
        study = checked(f"+experiment={name}").study
        assert (study.sigma, study.gamma, study.law) == values, name
        assert (study.steps, study.optimum) == (1000, [0.1, -0.2, 1.0, 0.5, -0.5])
        preset = _written(name)
        assert all(_written(other) == preset for other in others), name
    author = checked("+experiment=thesis_fig13", "study.protocol=author").study
    assert (author.gamma, author.factor, author.inputs.top) == (0.5, 2.0, 5.0)
    for protocol, kappa, square, end in (("text", 1.0, 1e-4, 10.0), ("author", 0.1, 5e-5, 100.0)):
        study = checked("+experiment=thesis_fig16", f"study.protocol={protocol}").study
        assert (study.kappa, study.end, study.steps) == (kappa, end, round(100 * end))
        assert study.volatility**2 == pytest.approx(square)


def test_figure_18_has_the_chain_the_loss_and_the_sampling_of_the_text_under_any_optimiser():
    """Section 5.2.3: T = 200, beta up to 0.02, algorithms 1 and 2; what is ours is the optimiser and the budget."""
    ours, text, author = (
        checked("+experiment=thesis_fig18", *also).data for also in ((), ("training=ddpm",), ("training=ddpm_author",))
    )
    for each in (ours, text, author):
        assert (each["schedule"]["timesteps"], each["schedule"]["beta"], each["schedule"]["beta_max"]) == (
            200,
            "linear",
            0.02,
        )
        assert (each["sampler"]["_target_"].split(".")[-1], each["sampler"]["steps"]) == ("DDPMAncestral", 199)
        assert (each["denoiser"]["parametrization"], each["training"]["objective"]) == ("noise", "noise")
        assert each["training"]["angles"] == "chain"
    optimiser = {"protocol", "epochs", "batch_size", "optimizer", "lr", "lr_schedule", "warmup", "weight_decay", "clip"}
    assert {key for key, value in ours["training"].items() if value != text["training"][key]} == optimiser | {
        "averaging"
    }
    assert (author["training"]["loss"], author["training"]["noise"], author["training"]["flips"]) == (
        "huber",
        "repeated",
        True,
    )


def test_smld_on_images_has_the_levels_and_the_loss_of_smld():
    """Section 5.1: one network for the scores of all levels, and Langevin dynamics through the same levels."""
    ours, other = (checked(f"+experiment=thesis_smld{also}").data for also in ("_images", ""))
    assert ours["schedule"] == other["schedule"]
    assert ours["sampler"]["steps"] == ours["training"]["levels"] - 1 == other["sampler"]["steps"]
    for key in ("objective", "angles", "angle_min", "angle_max", "levels"):
        assert ours["training"][key] == other["training"][key], key
