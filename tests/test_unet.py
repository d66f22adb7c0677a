"""The U-Net, and what a training of images has beside other trainings."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, composed, job, normal, refused, seeded
from own_targets import Images
from rules import ALL
from test_capabilities import images, run  # noqa: F401 (run is a fixture)
from test_objectives import objective
from test_training import BASE, weights

import scorelab
from scorelab import channel
from scorelab.denoisers import UNet, UNetDenoiser
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.lab.runs import Run
from scorelab.randomness import default_stream, stream, stream_seed
from scorelab.samplers import DDPMAncestral
from scorelab.samplers.loop import OUTPUTS, draw_samples, simulate
from scorelab.schedules import DDPM, OU, VE
from scorelab.targets import GaussianMixture
from scorelab.targets.scale import entry_std
from scorelab.training import Trainer, Training, angle_law
from scorelab.training.angles import chain
from scorelab.training.derivatives import require_derivatives
from scorelab.training.noising import flipped

VE_CLOCK = VE(grid="native", sigma_min=0.1, sigma_max=10.0)
CHAIN = DDPM(grid="native", timesteps=20, beta="linear", beta_min=1e-3, beta_max=0.2)
TINY = {"dim": 4, "multipliers": [1, 2], "blocks": 1, "attention": True, "parametrization": "velocity"}


class Blank(Images):
    """Images of a given shape, of which nothing is known but independent normal entries of deviation 0.5."""

    posterior_mean = None

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def sample(self, count, generator, dtype=torch.float32):
        return 0.5 * torch.randn(count, *self.shape, generator=generator, dtype=dtype)


def network(*shape, seed=0, data_std=1.0, random=True, **options):
    """A small U-Net in double precision for images of a shape; `random`: no weight is 0, as after training."""
    with default_stream(seed):
        built = UNet(**TINY | options, data_std=data_std).build(0, Blank(*shape or (1, 4, 4))).double()
        for parameter in built.parameters() if random else ():
            if not bool(parameter.any()):
                torch.nn.init.normal_(parameter, std=0.1)
    return built


def states(count, *shape, seed=1):
    angle = 0.1 + 1.3 * torch.rand(count, generator=seeded(seed), dtype=torch.float64)
    return normal(count, *shape, seed=seed), angle


# The network. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "multipliers"), [((1, 8, 8), [1, 2, 4]), ((1, 28, 28), [1, 2, 4]), ((3, 6, 10), [2, 1]), ((2, 5, 3), [1])]
)
def test_images_of_any_size_that_can_be_halved_go_through(shape, multipliers):
    unet = network(*shape, multipliers=multipliers, blocks=2)
    x, angle = states(3, *shape)
    mean = unet(x, angle)
    assert mean.shape == x.shape
    for number in range(3):  # one angle for all is one angle for each, and no image sees another
        assert_close(unet(x[number : number + 1], float(angle[number])), mean[number : number + 1], rtol=1e-10)


def test_a_change_of_one_pixel_reaches_the_whole_image():
    """At full resolution two convolutions reach two pixels; the lower levels and the attention reach all of them."""
    unet, (x, angle) = network(1, 16, 16, multipliers=[1, 1, 1]), states(1, 1, 16, 16)
    moved = x.clone()
    moved[0, 0, 0, 0] += 1
    assert bool(((unet(moved, angle) - unet(x, angle)).abs() > 1e-12).all())


@pytest.mark.parametrize("parametrization", ["velocity", "noise", "posterior_mean"])
def test_the_output_is_turned_into_the_posterior_mean_as_the_channel_says(parametrization):
    unet, (x, angle) = network(parametrization=parametrization), states(5, 1, 4, 4)
    outputs = []
    unet.last.register_forward_hook(lambda module, given, output: outputs.append(output))
    mean = unet(x, angle)
    expected = {
        "velocity": channel.velocity_to_posterior_mean,
        "noise": channel.noise_to_posterior_mean,
        "posterior_mean": lambda output, x, angle: output,
    }[parametrization](outputs[0], x, angle)
    assert_close(mean, expected, rtol=1e-12)
    assert float(outputs[0].detach().abs().mean()) > 1e-3


def test_a_network_that_says_nothing_is_the_posterior_mean_of_gaussian_pixels():
    """E[X | x] for X ~ N(0, s^2 I): the output 0 of a new network is exact there, and its input has unit size."""
    law, (x, angle) = GaussianMixture([1.0], [[0.0] * 16], 0.3), states(4, 1, 4, 4)
    unet = network(data_std=0.3, random=False)
    seen = []
    unet.first.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    assert_close(unet(x, angle).flatten(1), law.posterior_mean(x.flatten(1), angle), rtol=1e-12)
    size = (0.3**2 * torch.sin(angle) ** 2 + torch.cos(angle) ** 2).sqrt().reshape(-1, 1, 1, 1)
    assert_close(seen[0] * size, x, rtol=1e-12)


def test_the_deviation_of_the_entries_is_the_targets():
    target = Blank(3, 8, 8)
    assert entry_std(target) == pytest.approx(0.5, rel=0.02)
    assert UNet(**TINY, data_std=None).build(0, target).data_std == entry_std(target)


@pytest.mark.parametrize("parametrization", ["velocity", "noise", "posterior_mean"])
def test_both_ends_are_legal(parametrization):
    unet, x = network(parametrization=parametrization), states(3, 1, 4, 4)[0]
    for angle in (0.0, math.pi / 2, torch.tensor([0.0, 1.0, math.pi / 2])):
        assert bool(torch.isfinite(unet(x, angle)).all())
    if parametrization != "posterior_mean":
        assert_close(unet(x, math.pi / 2), x, rtol=1e-12)


def test_the_network_is_told_the_angle():
    unet, (x, _) = network(parametrization="posterior_mean"), states(1, 1, 4, 4)
    answers = [unet(x, angle).detach() for angle in (0.1, 0.11, 1.4, 1.56)]
    assert all(float((one - other).abs().max()) > 1e-4 for one, other in itertools.pairwise(answers))


def test_the_implicit_objectives_have_their_derivatives():
    x, angle = states(4, 1, 4, 4)
    require_derivatives(network().float(), x.float(), angle.float(), "training.objective = implicit")


def test_the_parameters_are_those_of_the_levels():
    """Counted by hand for one level of 4 channels without attention, told 16 features."""
    unet = UNet(**TINY | {"multipliers": [1], "attention": False}, data_std=1.0).build(0, Blank(1, 4, 4))

    def block(channels, width):
        skip = channels * width + width if channels != width else 0
        convolutions = 9 * channels * width + width + 9 * width * width + width
        return 2 * channels + 2 * width + convolutions + 16 * 2 * width + 2 * width + skip

    told = 4 * 16 + 16 + 16 * 16 + 16
    expected = told + 9 * 4 + 4 + block(4, 4) + block(4, 4) + block(8, 4) + 2 * 4 + 9 * 4 + 1
    assert sum(parameter.numel() for parameter in unet.parameters()) == expected


def test_what_is_no_image_of_a_fitting_size_is_one_line(small, tmp_path):
    small = [one for one in small if not one.startswith("denoiser.")]
    with pytest.raises(ConfigError) as error:
        scorelab.run([*small, "denoiser=unet"], tmp_path / "run")
    assert str(error.value) == (
        "denoiser: target GaussianMixture has samples of shape (8,); images (channels, height, width) are needed"
    )
    assert refused(ValueError, lambda: network(1, 10, 8, multipliers=[1, 1, 1])) == (
        "multipliers = [1, 1, 1] halve an image 2 times, and images of 10 x 8 are given: height and width that are "
        "multiples of 4 are needed"
    )
    for key, value, says in (
        ("dim", 3, "denoiser.dim = 3: allowed is an integer >= 4 and <= 1024"),
        ("multipliers", [], "denoiser.multipliers = []"),
        ("multipliers", [1] * 9, "denoiser.multipliers = [1, 1, 1"),
        ("parametrization", "score", "must be 'velocity', 'noise' or 'posterior_mean'"),
    ):
        node = composed("denoiser=unet")
        node["denoiser"][key] = value
        assert says in refused(ConfigError, check, node), key


def test_every_sampler_moves_images_with_it():
    unet = network().float()
    for name, rule in ALL.items():
        if name == "mala":  # it needs a density, which no network has
            continue
        schedule = VE_CLOCK if name in ("annealed_langevin", "flow_euler_native", "heun_native") else CHAIN
        (x,) = draw_samples(job(rule, count=6, steps=3, output="posterior_mean"), schedule, unet, (1, 4, 4), 0)
        assert x.shape == (6, 1, 4, 4), name
        assert bool(torch.isfinite(x).all()), name
        assert float(x.std(0).min()) > 0, name


def test_a_run_trains_it_writes_it_and_reads_it_again(run, undrawn):  # noqa: F811
    tiny = ("denoiser=unet", "denoiser.dim=4", "denoiser.multipliers=[1,2]", "training.flips=true")
    huber = ("training.loss=huber", "training.objective=noise", "training.validation=0.2")
    result = run(*tiny, *huber, target=images())
    assert math.isfinite(result.metrics["training"]["validation_loss"])
    missing = result.metrics["not_measured"]
    assert missing["training.bayes_risk"] == "the least value of the Huber loss is not known"
    assert result.samples.shape == (200, 1, 4, 4)
    context = Context(Run(result.directory), result.config)
    assert isinstance(context.denoiser, UNetDenoiser)
    assert context.denoiser.data_std == entry_std(Images())
    seed, angles = stream_seed(context.seed, "sampling"), context.angles
    (again,) = draw_samples(context.sampling, context.schedule, context.denoiser, (1, 4, 4), seed, angles=angles)
    assert_close(again, torch.tensor(result.samples), rtol=1e-5, atol=1e-5)


# Training of images. ------------------------------------------------------------------------------------------------


def trainer(target=None, seed=0, schedule=CHAIN, **changes):
    target = target or Blank(1, 4, 4)
    with default_stream(seed):
        unet = UNet(**TINY, data_std=0.5).build(0, target)
    values = BASE | {"N": 60, "epochs": 3, "batch_size": 20, "objective": "noise", "angles": "chain"} | changes
    return Trainer(unet, target, Training(**values), seed, schedule)


def batches(trained):
    """(x, angle, X sqrt(w), sqrt(w)) of the steps of an epoch."""
    made, size, order = trained.batches, trained.options.batch_size, torch.arange(len(trained.data))
    return list(made.split(made.segments(made.draws(trained.data, size, stream(0, "order"), order)), size))


def test_the_times_of_the_chain_are_its_integers():
    law = angle_law(Training(**BASE | {"angles": "chain"}), CHAIN)
    bar = torch.cumprod(1 - torch.linspace(1e-3, 0.2, 20, dtype=torch.float64), 0)
    assert_close(law.points, torch.asin(bar.sqrt()).flip(0), rtol=1e-12)
    drawn = law.sample(20_000, seeded(0), torch.float64)
    shares = torch.bincount(torch.searchsorted(law.points, drawn - 1e-9), minlength=20) / 20_000
    assert float((shares - 0.05).abs().max()) < 5 * (0.05 * 0.95 / 20_000) ** 0.5
    long = chain(DDPM(grid="native", timesteps=200, beta="linear", beta_min=1e-4, beta_max=0.02))
    angles, rule = long.quadrature()
    assert len(angles) == 64
    for function in (torch.cos, lambda angle: torch.sin(4 * angle), lambda angle: torch.cos(angle) ** 2 / (angle + 1)):
        assert_close(rule @ function(angles), function(long.points).mean(), rtol=2e-5, atol=2e-5)
    clock = OU(grid="native", beta=1.0, sigma=1.0, T=2.0, t_min=0.05)
    says = refused(ConfigError, angle_law, Training(**BASE | {"angles": "chain"}), clock)
    assert says == "training.angles = chain: the schedule of a discrete chain is needed, as ddpm, not OU"
    assert "angles: chain has none" in refused(
        ValueError, lambda: Training(**BASE | {"angles": "chain", "weight": "likelihood"})
    )


def test_the_loss_of_the_noise_is_algorithm_1_of_ddpm():
    """|eps - eps_hat(sqrt(abar) x0 + sqrt(1 - abar) eps)|^2, with everything drawn here; the mean over pixels."""
    unet = network(parametrization="noise")
    outputs = []
    unet.last.register_forward_hook(lambda module, given, output: outputs.append(output))
    bar = torch.cumprod(1 - CHAIN.betas, 0)[torch.randint(20, (7,), generator=seeded(3))].reshape(-1, 1, 1, 1)
    clean, noise = normal(7, 1, 4, 4, seed=4), normal(7, 1, 4, 4, seed=5)
    x, angle = bar.sqrt() * clean + (1 - bar).sqrt() * noise, torch.asin(bar.sqrt()).flatten()
    target = Blank(1, 4, 4)
    for loss, distance in (("squared", lambda e: e.square()), ("huber", huber)):
        minimised = objective("noise", target, loss=loss)
        found = minimised.losses(unet, x, angle, *minimised.columns(clean, x, angle, None))
        assert_close(found, distance(noise - outputs[-1]).flatten(1).mean(1), rtol=1e-10)
        columns = minimised.columns(clean, x, angle, None)
        assert_close(minimised.loss(unet, x, angle, *columns), found.mean(), rtol=1e-12)


def test_the_ancestral_rule_on_the_chain_is_algorithm_2_of_ddpm():
    unet, noise = network(parametrization="noise"), normal(20, 6, 1, 4, 4, seed=2)
    draws = iter(noise)
    angles = CHAIN.angles(19)
    with torch.no_grad():
        last = simulate(DDPMAncestral(variance="posterior"), unet, angles, next(draws).clone(), lambda: next(draws))
        found = OUTPUTS["posterior_mean"](unet, last, float(angles[-1]), None)

        betas, bar = CHAIN.betas, torch.cumprod(1 - CHAIN.betas, 0)
        x, draws = noise[0], iter(noise[1:])
        for k in range(19, -1, -1):  # the time is k + 1
            angle = torch.asin(bar[k].sqrt())
            predicted = channel.posterior_mean_to_noise(unet(x, angle), x, angle)
            x = (x - betas[k] / (1 - bar[k]).sqrt() * predicted) / (1 - betas[k]).sqrt()
            if k:
                x = x + (betas[k] * (1 - bar[k - 1]) / (1 - bar[k])).sqrt() * next(draws)
    assert_close(found, x, rtol=1e-8)


def huber(error):
    """Quadratic within 1, linear beyond."""
    return torch.where(error.abs() <= 1, 0.5 * error.square(), error.abs() - 0.5)


def test_repeated_noise_is_the_same_at_every_step_and_fresh_noise_is_not():
    def noise(batch):
        x, angle, scaled, root = batch
        sin, cos = channel.sin_cos(angle, x)
        return (x - sin * scaled / root) / cos

    first, second, _ = batches(trainer(noise="repeated"))
    assert torch.equal(first[1], second[1])
    assert_close(noise(first), noise(second), rtol=1e-3, atol=1e-3)
    assert not torch.equal(first[2], second[2])
    first, second, _ = batches(trainer())
    assert not torch.equal(first[1], second[1])
    assert float((noise(first) - noise(second)).abs().mean()) > 0.5


def test_half_of_the_images_are_flipped_and_only_those_that_are_trained_on():
    x = normal(2000, 1, 4, 4, seed=0)
    found = flipped(x, seeded(0))
    mirrored = (found == x.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (found == x).flatten(1).all(1)).all())
    assert abs(float(mirrored.double().mean()) - 0.5) < 4 * 0.5 / 2000**0.5

    trained = trainer(flips=True)
    clean = torch.cat([scaled / root for _, _, scaled, root in batches(trained)])
    shares = [
        (clean - other).flatten(1).abs().amax(1).lt(1e-4).double().mean()
        for other in (trained.data, trained.data.flip(-1))
    ]
    assert 0.2 < float(shares[0]) < 0.8
    assert float(shares[0] + shares[1]) == 1
    made = trained.batches
    segments = made.segments(made.draws(trained.data, 20, stream(0, "order")))
    kept = torch.cat([scaled / root for _, _, scaled, root in segments])
    assert_close(kept, trained.data, rtol=1e-4, atol=1e-4)


def test_flips_of_vectors_are_refused_and_what_they_hide_is_not_measured():
    vectors = GaussianMixture.two_modes(n=4)
    options = Training(**BASE | {"flips": True})
    says = refused(ConfigError, Trainer, torch.nn.Linear(4, 4), vectors, options, 0)
    assert says == ("training.flips = true: images (channels, height, width) are needed, samples have the shape (4,)")
    assert (
        trainer(Images(), flips=True).not_measured["bayes_risk"].not_measured
        == "the Bayes risk of flipped images is not known"
    )
    assert "bayes_risk" not in trainer(Images()).not_measured


def test_a_huber_loss_of_what_is_no_error_is_refused():
    says = refused(ValueError, lambda: Training(**BASE | {"loss": "huber", "objective": "implicit"}))
    assert "loss = huber: objective: implicit is no squared error" in says
    assert objective("explicit", GaussianMixture.two_modes(n=4), loss="huber").unknown is None


def test_configurations_of_earlier_versions_are_the_same_ones():
    data = composed()
    new = check(data)
    old = {
        **data,
        "training": {key: value for key, value in data["training"].items() if key not in ("loss", "noise", "flips")},
    }
    assert check(old).fingerprint == new.fingerprint
    assert "loss" not in new.data["training"]
    other = {**data, "training": data["training"] | {"flips": True}}
    assert check(other).data["training"]["flips"] is True
    assert check(other).fingerprint != new.fingerprint


def test_a_stopped_training_of_images_ends_with_the_same_bits(tmp_path):
    changes = {"loss": "huber", "noise": "repeated", "flips": True, "validation": 0.2, "keep": "best"}
    whole = trainer(**changes)
    whole.run()
    stopped = trainer(checkpoint_every=1, **changes)

    def save(trained):
        if trained.epoch == 2:
            trained.save(tmp_path / "two")

    stopped.run(on_epoch=save)
    resumed = trainer(**changes)
    resumed.load(tmp_path / "two")
    assert resumed.epoch == 2
    resumed.run()
    assert torch.equal(weights(resumed.denoiser), weights(whole.denoiser))
    assert torch.equal(weights(stopped.denoiser), weights(whole.denoiser))
