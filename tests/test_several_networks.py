"""Denoisers made of several networks: one a phase of the noise level, one a side of the data; and the student."""

import itertools
import math

import numpy
import pandas
import pytest
import torch
from helpers import assert_close, noisy_states, normal, seeded
from networks import Velocity

import scorelab
from scorelab.denoisers import Denoiser, ExactDenoiser, MixtureAware, MixtureAwareDenoiser, PhaseAware, Student
from scorelab.denoisers.phase_aware import PhaseAwareDenoiser, switch_angles
from scorelab.errors import ConfigError
from scorelab.lab.denoiser_file import load_denoiser
from scorelab.metrics.path_kl import path_kl
from scorelab.samplers import EulerMaruyama, Sampling
from scorelab.samplers.loop import draw_samples
from scorelab.schedules import Localization
from scorelab.studies import training as train
from scorelab.targets import GaussianMixture

TARGET = GaussianMixture.two_modes(0.7, 6 * torch.ones(4))


class Constant(Denoiser):
    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(float(value)))

    def forward(self, x, angle):
        return self.value.expand_as(x)


# Phases. ------------------------------------------------------------------------------------------------------------


def test_the_phase_of_the_angle_denoises():
    denoiser = PhaseAwareDenoiser([Constant(k) for k in range(3)], [0.4, 1.0], overlap=0.05)
    x = normal(5, 2, seed=1, dtype=torch.float32)
    for angle, phase in ((0.0, 0), (0.39, 0), (0.4, 1), (0.99, 1), (1.2, 2)):
        assert denoiser(x, angle).unique().tolist() == [phase]
        assert denoiser(x, torch.tensor(angle)).unique().tolist() == [phase]
    each = denoiser(x, torch.tensor([0.1, 0.5, 1.1, 0.3, 1.5]))
    assert each[:, 0].tolist() == [0, 1, 2, 0, 2]


def test_each_phase_trains_on_all_samples_a_little_beyond_its_switches():
    denoiser = PhaseAwareDenoiser([Constant(k) for k in range(3)], [0.4, 1.0], overlap=0.05)
    samples = normal(10, 4, seed=2)
    parts = denoiser.parts(samples, TARGET)
    assert [part.samples is samples for part in parts] == [True] * 3
    low, middle, high = (part.angles for part in parts)
    assert low == pytest.approx((-0.05, 0.45))
    assert middle == pytest.approx((0.35, 1.05))
    assert high == pytest.approx((0.95, math.pi / 2 + 0.05))


def test_switches_are_times_or_the_speciation_time_of_the_target():
    assert switch_angles([1.0, 3.0], TARGET) == pytest.approx([math.pi / 4, math.pi / 3])
    assert switch_angles(["speciation", 5.0], TARGET)[0] == TARGET.speciation_angle()
    with pytest.raises(ValueError, match="must increase"):
        switch_angles([1.0, "speciation"], TARGET)
    with pytest.raises(ValueError, match="no speciation time"):
        switch_angles(["speciation"], GaussianMixture([1.0], [[0.0]]))


# Sides. -------------------------------------------------------------------------------------------------------------


def split(target, count=4000, split="principal_component", sides=2):
    denoiser = MixtureAwareDenoiser([Constant(k) for k in range(sides)], split, target.n)
    samples = target.sample(count, seeded(3))
    return denoiser, samples, denoiser.parts(samples, target)


def test_the_split_finds_the_modes_and_their_weights():
    for name in ("principal_component", "kmeans"):
        denoiser, samples, parts = split(TARGET, split=name)
        first = TARGET.posterior_weights(samples, math.pi / 2)[:, 0] > 0.5
        side = denoiser.side_of(samples) == denoiser.side_of(TARGET.means)[0]
        assert float((first == side).double().mean()) > 0.997, name
        weights = {round(float(part.target.means[0, 0]), 3): len(part.samples) / len(samples) for part in parts}
        assert weights[1.8] == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 4000)), name
        assert sum(len(part.samples) for part in parts) == len(samples), name


def test_the_principal_component_is_the_direction_between_the_modes():
    denoiser, _, _ = split(TARGET)
    axis = denoiser.centres[0] - denoiser.centres[1]
    assert abs(float(torch.cosine_similarity(axis, TARGET.direction, dim=0))) > 0.999


def test_three_sides_are_the_three_modes():
    means = [[6.0, 0.0], [-6.0, 0.0], [0.0, 9.0]]
    _, _, parts = split(GaussianMixture([0.5, 0.3, 0.2], means), split="kmeans", sides=3)
    assert sorted(part.target.means[0].tolist() for part in parts) == sorted(means)


def test_a_sample_keeps_its_side_whatever_its_batch_and_sides_come_with_their_shares():
    denoiser, _, _ = split(TARGET)
    x = torch.zeros(4096, 1)
    whole = denoiser.for_samples(0, 4096, seed=5)(x, 0.3)
    later = denoiser.for_samples(1024, 2048, seed=5)(x[:2048], 0.9)
    assert torch.equal(whole[1024:3072], later)
    assert float((whole == 0).double().mean()) == pytest.approx(
        float(denoiser.shares[0]), abs=4 * math.sqrt(0.21 / 4096)
    )


def test_exact_sides_sample_the_target_and_their_path_kl_is_that_of_the_shares():
    denoiser, _, parts = split(TARGET)
    exact = MixtureAwareDenoiser([ExactDenoiser(part.target) for part in parts], "kmeans", 4)
    exact.centres.copy_(denoiser.centres)
    exact.shares.copy_(torch.tensor([len(part.samples) for part in parts]).double() / 4000)
    p = [TARGET.restricted(exact.side_of, k)[0] for k in (0, 1)]
    q = exact.shares.tolist()
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert path_kl(exact, TARGET, 1.4, 8, 50, seeded(4)).total == pytest.approx(expected, rel=1e-6, abs=1e-9)
    exact.shares.copy_(torch.tensor([0.5, 0.5]).double())
    wrong = sum(a * math.log(a / 0.5) for a in p)
    assert exact.choice_kl(TARGET) == pytest.approx(wrong, rel=1e-6)
    exact.shares.copy_(torch.tensor(p).double())
    job = Sampling(count=3000, steps=100, batch_size=1024, output="scaled", rule=EulerMaruyama())
    schedule = Localization(grid="angle", alpha_max=1.47, T=None, t_min=1e-3)
    x = torch.cat(list(draw_samples(job, schedule, exact, 4, seed=6)))
    weight = float(TARGET.posterior_weights(x, math.pi / 2)[:, 0].mean())
    assert weight == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 3000))


# The student. -------------------------------------------------------------------------------------------------------


def test_the_student_with_the_right_parameters_is_the_exact_posterior_mean():
    for std, angle in itertools.product((1.0, 0.6), (0.0, 0.3, 1.2, math.pi / 2)):
        target = GaussianMixture([0.2, 0.5, 0.3], normal(3, 4, seed=7), std)
        student = Student(K=3, std=std, initial_std=0.1).build(4).double()
        student.means.data.copy_(target.means)
        student.log_weights.data.copy_(target.weights.log())
        x = noisy_states(target, angle, 20)
        assert_close(student(x, angle), target.posterior_mean(x, angle), rtol=1e-12, atol=1e-12)
        each = torch.full((20,), angle, dtype=torch.float64)
        assert_close(student(x, each), target.posterior_mean(x, each), rtol=1e-12, atol=1e-12)
        assert torch.equal(student(x.view(20, 2, 2), each), student(x, each).view(20, 2, 2))


# Whole runs. --------------------------------------------------------------------------------------------------------


def overrides(small, name):
    small = [override.replace("denoiser.m", "denoiser.network.m") for override in small]
    return [*small, f"denoiser={name}"]


@pytest.mark.parametrize("name", ["phase_aware", "mixture_aware"])
def test_a_run_trains_every_part(small, name, tmp_path):
    result = scorelab.run(overrides(small, name), tmp_path / "run")
    parts = result.metrics["training"]["parts"]
    table = pandas.read_csv(tmp_path / "run" / "training.csv")
    assert set(table["part"]) == set(parts)
    assert len(parts) == 2
    assert all(values["excess_risk"] > 0 for values in parts.values())
    assert result.metrics["training"]["steps"] == table.groupby("part")["step"].max().sum()
    assert not list((tmp_path / "run").glob("checkpoint*"))
    loaded = load_denoiser(tmp_path / "run" / "denoiser.safetensors")
    assert result.metrics["path_kl"]["total"] > 0
    assert loaded.trainable


@pytest.mark.parametrize("name", ["phase_aware", "mixture_aware"])
def test_two_networks_of_a_user_train_resume_and_sample(small, name, tmp_path, monkeypatch):
    small = [override for override in small if not override.startswith("denoiser.")]
    network = ["~denoiser.network", "+denoiser.network={_target_: networks.Velocity, width: 6}"]
    asked = [*small, f"denoiser={name}", *network, "extensions=[networks]"]
    whole = scorelab.run([*asked, "stage=train"], tmp_path / "whole")
    trained = []
    original = train._train

    def stop(context, part, before, last):
        if last and not trained:
            trained.append(part.name)
            raise KeyboardInterrupt
        return original(context, part, before, last)

    monkeypatch.setattr(train, "_train", stop)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        scorelab.run(asked, stopped)
    assert list(stopped.glob("checkpoint-*"))
    resumed = scorelab.run([f"training.resume={stopped}", "extensions=[networks]"])
    one, other = (load_denoiser(run.directory / "denoiser.safetensors", run.config) for run in (whole, resumed))
    assert isinstance((other.phases if name == "phase_aware" else other.sides)[1], Velocity)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    before = numpy.array(resumed.samples)
    again = scorelab.run(["stage=sample", f"run={stopped}", "extensions=[networks]"], tmp_path / "again")
    assert numpy.array_equal(again.samples, before)


def test_a_split_of_networks_that_are_not_trained_is_still_found(small, tmp_path):
    small = [override for override in small if not override.startswith("denoiser.")]
    network = ["denoiser=mixture_aware", "denoiser@denoiser.network=module", "extensions=[networks]"]
    network += ["denoiser.network.module={_target_: networks.Frozen}", "target.a=6", "stage=train"]
    run = scorelab.run([*small, *network], tmp_path / "run")
    assert run.metrics["training"]["steps"] == 0
    denoiser = load_denoiser(tmp_path / "run" / "denoiser.safetensors", run.config)
    assert float(denoiser.shares.max()) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 400))


def test_impossible_combinations_are_one_line(tmp_path):
    for number, (changes, message) in enumerate(
        [
            (["denoiser=mixture_aware", "denoiser.sides=3"], "sides = 3: split: principal_component makes 2"),
            (["denoiser=mixture_aware", "denoiser@denoiser.network=exact"], "a denoiser that is trained is needed"),
            (["denoiser=phase_aware", "denoiser.switches=[0]"], "denoiser.switches"),
            (["denoiser=phase_aware", "denoiser.switches=[2.0,1.0]"], "must increase"),
            (["denoiser=phase_aware", "denoiser.network.m=0"], "denoiser.network.m = 0"),
            (["denoiser=phase_aware", "training.angles=single"], "training.angles = single"),
            (
                ["denoiser=phase_aware", "denoiser.switches=[1e6]", "denoiser.overlap=0"],
                "phase_2 of the denoiser needs angles",
            ),
            (
                [
                    "denoiser=phase_aware",
                    "denoiser@denoiser.network=module",
                    "denoiser.network.module={_target_: networks.Plain}",
                    "extensions=[networks]",
                    "denoiser.network.weights=none.safetensors",
                ],
                "denoiser.network.weights = none.safetensors: no such file",
            ),
        ]
    ):
        asked = [*changes, "training.N=50", "training.epochs=1", "target.n=4", "threads=1"]
        with pytest.raises(ConfigError, match=message):
            scorelab.run(asked, tmp_path / f"run-{number}")


def test_options_build_what_they_name():
    network = {"_target_": "scorelab.denoisers.Student", "K": 2, "std": 1.0, "initial_std": 0.1}
    phases = PhaseAware(network=network, switches=[0.5, 2.0], overlap=0.0).build(4, TARGET)
    assert len(phases.phases) == 3
    sides = MixtureAware(network=network, split="kmeans", sides=4).build(4, TARGET)
    assert len(sides.sides) == 4
