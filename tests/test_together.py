"""Denoisers of one architecture as one: samples, errors and whole runs are those of each alone, to rounding."""

import pytest
import torch
from helpers import assert_close, composed, over, refused, seeded, with_values
from pretend import DEVICE, pretend
from test_device import SMALL
from test_training import network

import scorelab
from scorelab.denoisers import MLP, ExactDenoiser
from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.stacked import Stacked, Unstackable
from scorelab.devices import like
from scorelab.files import config_folder
from scorelab.lab import ahead
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.lab.runs import Run, read_metrics
from scorelab.metrics.path_kl import path_kl, path_kls
from scorelab.metrics.posterior_mean import compare_posterior_means, compare_several
from scorelab.randomness import default_stream
from scorelab.samplers.loop import Found, draw_samples
from scorelab.samplers.together import draw_together
from scorelab.schedules import Localization
from scorelab.studies import sampling
from scorelab.studies.generate import analyse
from scorelab.targets import GaussianMixture

N = 4
LOCALIZATION = Localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4)
#: what a run asks its denoiser by itself
OWN_TURN = ((sampling, "_drawn"), (analyse, "path_kl"), (analyse, "_compared"), (analyse, "_observe"))
#: rules that depend on the other samples of a batch; and every rule of a network
OF_THEIR_BATCH = {"predictor_corrector"}
EVERY_RULE = sorted({path.stem for path in (config_folder() / "sampler").glob("*.yaml")} - {"mala"})
OUTPUTS = ("scaled", "posterior_mean", "posterior_draw")


def networks(count=3, n=N):
    return [network(n, seed=seed) for seed in range(count)]


def layers(seed):
    with default_stream(seed):
        options = {"width": 6, "depth": 2, "residual": True, "activation": "silu", "parametrization": "noise"}
        return MLP(**options, data_std=1.0).build(N)


class Curved(Denoiser):
    """A denoiser of a few products: under vmap the device in software has none of matrices."""

    def __init__(self, seed):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.rand(N, generator=seeded(seed)))

    def forward(self, x, angle):
        return torch.tanh(self.scale * x * torch.sin(like(angle, x)).unsqueeze(-1))


@over("made", [network, layers, Curved])
def test_each_denoiser_answers_at_its_own_states(made):
    denoisers = [made(seed=seed) for seed in range(3)]
    stack = Stacked(denoisers, (N,))
    x, angle = torch.randn(15, N, generator=seeded(1)), torch.rand(15, generator=seeded(2))
    for at, parts in ((0.6, [0.6] * 3), (angle, angle.chunk(3))):
        alone = torch.cat([each(own, part) for each, own, part in zip(denoisers, x.chunk(3), parts, strict=True)])
        assert_close(stack(x, at), alone, rtol=1e-5, atol=1e-6)
    before = stack(x, 0.6)
    with torch.no_grad():
        next(denoisers[0].parameters()).zero_()
    assert torch.equal(stack(x, 0.6), before)  # it has parameters of its own


def test_denoisers_that_cannot_be_one_are_refused():
    class Branching(type(network())):
        def forward(self, x, angle):
            return super().forward(x, angle) if bool(x.sum() > 0) else x

    class Chosen(type(network())):
        def for_samples(self, first, count, seed):
            return self

    odd = network(seed=1)
    odd.parametrization = "skip"
    for denoisers, why in (
        ([network(), layers(0)], "different networks"),
        ([network(), network(N, seed=1).double()], "different networks"),
        ([ExactDenoiser(GaussianMixture.two_modes(n=N))] * 2, "no networks"),
        ([network(), odd], "more than their parameters"),
    ):
        assert why in refused(Unstackable, Stacked, denoisers, (N,))
    for kind, why in ((Branching, "vmap cannot take them"), (Chosen, "another function for each sample")):
        denoiser = network()
        denoiser.__class__ = kind
        assert why in refused(Unstackable, Stacked, [denoiser, denoiser], (N,))


@over("rule", EVERY_RULE)
def test_every_rule_draws_the_samples_that_it_draws_of_each_denoiser_alone(rule, tmp_path):
    small = ("target.n=4", "sampler.count=300", "sampler.steps=5", "sampler.batch_size=256")
    output = OUTPUTS[EVERY_RULE.index(rule) % 3]
    config = check(with_values(*small, f"sampler.output={output}", groups=(f"sampler={rule}", "schedule=ve")))
    context = Context(Run(tmp_path), config)
    job, schedule, angles = context.sampling, context.schedule, context.angles
    denoisers, seeds, found = networks(2), [3, 8], Found()
    stack = Stacked(denoisers, (N,))
    drawing = draw_together(job, schedule, stack, (N,), seeds, angles, found=found)
    if rule in OF_THEIR_BATCH:
        assert "other samples of its batch" in refused(Unstackable, list, drawing)
        return
    together = [torch.cat(batches) for batches in zip(*drawing, strict=True)]
    for denoiser, seed, own, parts in zip(denoisers, seeds, together, found.chunk(2), strict=True):
        alone = Found()
        wanted = torch.cat(list(draw_samples(job, schedule, denoiser, (N,), seed, angles=angles, found=alone)))
        assert own.shape == (300, N)
        assert_close(own, wanted, rtol=1e-3, atol=1e-3 * float(wanted.std()))
        assert parts.means().keys() == alone.means().keys()
        for name, value in alone.means().items():
            assert_close(parts.means()[name], value, rtol=1e-3, atol=1e-3)


@over("same", [True, False])
def test_errors_beside_exact_posterior_means_are_those_of_each_alone(same):
    denoisers = networks()
    targets = [GaussianMixture.two_modes(p=0.7 if same else p, n=N) for p in (0.7, 0.6, 0.5)]
    stack, seeds, angles = Stacked(denoisers, (N,)), (4, 5, 6), [0.3, 1.2]
    found = path_kls(stack, targets, 1.4, 5, 60, [seeded(seed) for seed in seeds])
    cleans = [target.sample(50, seeded(seed)) for target, seed in zip(targets, seeds, strict=True)]
    several = (stack, targets, cleans, angles, [seeded(seed) for seed in seeds], [None] * 3)
    compared = compare_several(*several)
    rows = zip(denoisers, targets, seeds, cleans, found, compared, strict=True)
    for denoiser, target, seed, clean, own, (table, arrays) in rows:
        alone = path_kl(denoiser, target, 1.4, 5, 60, seeded(seed))
        assert (own.total, own.standard_error) == pytest.approx((alone.total, alone.standard_error), rel=1e-5)
        assert_close(own.squared_error, alone.squared_error, rtol=1e-5)
        wanted, drawn = compare_posterior_means(denoiser, target, clean, angles, seeded(seed), None)
        for row, other in zip(table, wanted, strict=True):
            assert row["relative_error"].value == pytest.approx(other["relative_error"].value, rel=1e-5)
            assert row["bayes_risk"] == other["bayes_risk"]
        for name, values in drawn.items():
            assert_close(torch.tensor(arrays[name]), torch.tensor(values), rtol=1e-4, atol=1e-5)


def leaves(value):
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]


def without_clock(metrics):
    """The numbers of a run, without times, and without what is a difference of nearly equal numbers."""
    dropped = {"seconds", "samples_per_second", "rule_error"}
    sections = {name: each for name, each in metrics.items() if name != "run"}
    return {(name, key): value for name, each in sections.items() for key, value in each.items() if key not in dropped}


def test_what_is_asked_together_elsewhere_is_what_is_asked_here():
    target, found = GaussianMixture.two_modes(n=N), []
    context = check(with_values("target.n=4", "sampler.count=300", "sampler.steps=5"))
    with pretend():
        for device in ("cpu", DEVICE):
            stack = Stacked([Curved(seed).to(device) for seed in (1, 2)], (N,))
            drawing = draw_together(
                context.sampling, LOCALIZATION, stack, (N,), [3, 8], LOCALIZATION.angles(5), device=device
            )
            samples = [torch.cat(batches).cpu() for batches in zip(*drawing, strict=True)]
            totals = path_kls(stack, [target] * 2, 1.4, 4, 30, [seeded(5), seeded(6)])
            cleans = [target.sample(20, seeded(seed)) for seed in (5, 6)]
            compared = compare_several(stack, [target] * 2, cleans, [0.4], [seeded(5), seeded(6)], [None] * 2)
            found.append((samples, [each.total for each in totals], compared))
    (samples, totals, compared), (others, other_totals, other_compared) = found
    assert_close(torch.cat(others), torch.cat(samples), rtol=1e-6)
    assert other_totals == pytest.approx(totals, rel=1e-6)
    for (rows, arrays), (other_rows, other_arrays) in zip(compared, other_compared, strict=True):
        assert rows[0]["squared_error"].value == pytest.approx(other_rows[0]["squared_error"].value, rel=1e-6)
        assert arrays.keys() == other_arrays.keys()


def test_replicas_are_sampled_and_measured_together(tmp_path, monkeypatch, caplog):
    for name in ("stacked", "replicas"):
        monkeypatch.setattr(f"scorelab.lab.{name}.pays", lambda device: True)
    for name, value in {"_EXACT_PATHS": 20, "_BLOCK": 10, "_TIMES": 8}.items():
        monkeypatch.setattr(f"scorelab.studies.generate.trajectories.{name}", value)
    asked = []
    kept = {f"{module.__name__}.{name}": getattr(module, name) for module, name in OWN_TURN}
    for name in kept:
        monkeypatch.setattr(name, asked.append)
    caplog.set_level("INFO", "scorelab")
    scorelab.run([*SMALL, "replicas=2", "seed=4"], tmp_path / "several")
    assert "jobs 0, 1 sampled and measured together" in caplog.text
    assert not asked
    assert not ahead._AHEAD
    for name, function in kept.items():
        monkeypatch.setattr(name, function)
    for number in range(2):
        alone = scorelab.run([*SMALL, f"seed={4 + number}"], tmp_path / f"alone{number}")
        own = read_metrics(tmp_path / "several" / "replicas" / str(number) / "metrics.json")
        wanted, found = without_clock(alone.metrics), without_clock(own)
        assert wanted.keys() == found.keys()
        for key, value in wanted.items():
            for one, other in zip(leaves(found[key]), leaves(value), strict=True):
                assert one == (pytest.approx(other, rel=2e-3) if isinstance(other, float) else other), key


def test_what_is_kept_is_for_one_run_and_one_configuration(tmp_path):
    one, other = (Context(Run(tmp_path), check(composed(f"seed={seed}"))) for seed in (1, 2))
    one.keep_ahead("samples", "mine")
    assert other.ahead("samples") is None
    assert [one.ahead("samples"), one.ahead("samples")] == ["mine", None]
    one.keep_ahead("samples", "mine")
    ahead.drop(one.run, one.config)
    assert one.ahead("samples") is None
