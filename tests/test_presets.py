"""The presets of conf/experiment: each composes and builds, and says what was published."""

import pytest
from test_config import composed

from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.lab.sweep import read_jobs
from scorelab.reproduction.published import published

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
OF_SECTION_7 = [name for name in PRESETS if name not in ("fig01_exact", "fig09_two_stage")]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_composes_and_builds(name, generator):
    config = check(composed(f"+experiment={name}"))
    target = config["target"].build(generator=generator) if config.uses("target") else None
    for group in config.components:
        known = {} if target is None else {"n": target.n, "target": target}
        assert config[group].build(generator=generator, **known) is not None


@pytest.mark.parametrize("protocol", ["paper", "author", "fast"])
@pytest.mark.parametrize("setting", [1, 2, 3, 4])
@pytest.mark.parametrize("name", OF_SECTION_7)
def test_a_preset_has_the_budget_of_its_setting_and_the_network_of_its_protocol(name, setting, protocol):
    config = check(composed(f"+experiment={name}", f"setting={setting}", f"training={protocol}"))
    training, denoiser = config.data["training"], config.data["denoiser"]
    network = denoiser.get("network", denoiser)
    assert (training["N"], training["epochs"]) == [(5000, 500), (20000, 500), (20000, 2000), (20000, 2000)][setting - 1]
    assert (network["L"], network["m"]) == ((6, 512) if setting == 4 and protocol != "author" else (3, 256))
    assert network["activation"] == ("relu" if "relu" in name else "tanh")
    assert network["parametrization"] == "skip"
    assert training["validation"] == (0.4 if protocol == "author" else 0.0)
    assert config.data["study"]["posterior_mean_data"] == ("samples" if protocol == "author" else "target")
    if "phase" in name:
        assert denoiser["switches"] == [2.0 if protocol == "author" else 1.0]
        assert config.data["study"]["posterior_mean_switches"] == denoiser["switches"]


@pytest.mark.parametrize("name", OF_SECTION_7)
def test_samples_are_drawn_as_published(name):
    data = check(composed(f"+experiment={name}")).data
    assert data["sampler"]["_target_"].endswith("EulerMaruyama")
    assert data["sampler"]["steps"] == 199
    assert data["schedule"]["grid"] == "angle"
    ends = {"phase": 24.3, "mixture": 10.45}
    end = next((value for part, value in ends.items() if part in name), 99.33)
    assert check(composed(f"+experiment={name}"))["schedule"].options.end_snr == pytest.approx(end, rel=2e-3)


def test_what_is_asked_for_wins_over_the_setting():
    data = check(composed("+experiment=fig02_relu", "setting=3", "training.epochs=7", "denoiser.m=16")).data
    assert (data["training"]["N"], data["training"]["epochs"], data["denoiser"]["m"]) == (20000, 7, 16)


def test_a_setting_that_there_is_not_is_one_line():
    with pytest.raises(ConfigError, match=r"^setting = 9: allowed are 1, 2, 3, 4$"):
        composed("+experiment=fig02_relu", "setting=9")
    with pytest.raises(ConfigError, match="setting = None"):
        published("N", None, "paper")


@pytest.mark.parametrize("name", ["reproduce_quick", "reproduce_paper"])
def test_every_job_of_a_reproduction_composes(name):
    jobs = read_jobs(config_folder().parent / "scripts" / "jobs" / f"{name}.yaml")
    fingerprints = [check(composed(*job)).fingerprint for job in jobs]
    assert len(jobs) == {"reproduce_quick": 12, "reproduce_paper": 42}[name]
    assert len(set(fingerprints)) == len(jobs)
