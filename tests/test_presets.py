"""The presets of conf/experiment: each composes and builds, and says what was published."""

import itertools

import pytest
from helpers import composed, seeded

from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.lab.sweep import read_jobs
from scorelab.reproduction.published import published

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
OF_SECTION_7 = [name for name in PRESETS if name not in ("fig01_exact", "fig09_two_stage")]
PROTOCOLS = ("paper", "author", "fast")


def budget(setting):
    """N and epochs of a setting."""
    return {1: (5000, 500), 2: (20000, 500), 3: (20000, 2000), 4: (20000, 2000)}[setting]


def size(setting, protocol):
    """L and m of a setting; the larger network is in the text alone."""
    return (6, 512) if setting == 4 and protocol != "author" else (3, 256)


def test_the_published_numbers_are_those_of_the_paper_and_of_its_code():
    for setting, protocol in itertools.product((1, 2, 3, 4), PROTOCOLS):
        numbers = [published(key, setting, protocol) for key in ("N", "epochs", "L", "m", "switch")]
        switch = 2.0 if protocol == "author" else 1.0
        assert numbers == [*budget(setting), *size(setting, protocol), switch], (setting, protocol)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_composes_and_builds(name):
    config = check(composed(f"+experiment={name}"))
    target = config["target"].build(generator=seeded(0)) if config.uses("target") else None
    for group in config.components:
        known = {} if target is None else {"n": target.n, "target": target}
        assert config[group].build(generator=seeded(0), **known) is not None, group


@pytest.mark.parametrize("name", OF_SECTION_7)
def test_a_preset_has_the_budget_of_its_setting_the_network_of_its_protocol_and_the_published_samples(name):
    for setting, protocol in ((1, "author"), (2, "fast"), (3, "paper"), (4, "paper"), (4, "author")):
        config = check(composed(f"+experiment={name}", f"setting={setting}", f"training={protocol}"))
        training, denoiser, study = (config.data[group] for group in ("training", "denoiser", "study"))
        network = denoiser.get("network", denoiser)
        assert (training["N"], training["epochs"]) == budget(setting), setting
        assert (network["L"], network["m"]) == size(setting, protocol), (setting, protocol)
        assert network["activation"] == ("relu" if "relu" in name else "tanh")
        assert network["parametrization"] == "skip"
        assert training["validation"] == (0.4 if protocol == "author" else 0.0)
        assert study["posterior_mean_data"] == ("samples" if protocol == "author" else "target")
        if "phase" in name:
            assert denoiser["switches"] == [2.0 if protocol == "author" else 1.0]
            assert study["posterior_mean_switches"] == denoiser["switches"]
    assert config.data["sampler"]["_target_"].endswith("EulerMaruyama")
    assert config.data["sampler"]["steps"] == 199
    assert config.data["schedule"]["grid"] == "angle"
    ends = {"phase": 24.3, "mixture": 10.45}
    end = next((value for part, value in ends.items() if part in name), 99.33)
    assert config["schedule"].options.end_snr == pytest.approx(end, rel=2e-3)


def test_what_is_asked_for_wins_over_the_setting():
    data = check(composed("+experiment=fig02_relu", "setting=3", "training.epochs=7", "denoiser.m=16")).data
    assert (data["training"]["N"], data["training"]["epochs"], data["denoiser"]["m"]) == (20000, 7, 16)


def test_a_setting_that_there_is_not_is_one_line():
    with pytest.raises(ConfigError, match=r"^setting = 9: allowed are 1, 2, 3, 4$"):
        composed("+experiment=fig02_relu", "setting=9")
    with pytest.raises(ConfigError, match="setting = None"):
        published("N", None, "paper")


@pytest.mark.parametrize(("name", "count"), [("reproduce_quick", 12), ("reproduce_paper", 42)])
def test_the_jobs_of_a_reproduction_compose_and_differ(name, count):
    jobs = read_jobs(config_folder().parent / "scripts" / "jobs" / f"{name}.yaml")
    fingerprints = {check(composed(*job)).fingerprint for job in jobs}
    assert len(jobs) == len(fingerprints) == count
