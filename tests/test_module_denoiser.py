"""Networks of others as denoisers: every convention, against a mixture whose answers are known in it."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, composed, noisy_states, normal, over, random_mixture, refused
from networks import Plain
from safetensors.torch import save_file

import scorelab
from scorelab.channel import HALF_PI
from scorelab.denoisers import Convention, ModuleDenoiser
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.lab.denoiser_file import load_denoiser
from scorelab.randomness import default_stream
from scorelab.samplers import DDIM
from scorelab.samplers.loop import simulate
from scorelab.schedules import Localization
from scorelab.tensorfile import load_state, read_tensors, write_tensors

PREDICTIONS = ("posterior_mean", "noise", "velocity", "v_prediction", "score")
#: times that are no schedule's -> the angle that they are the time of
ANGLE_OF = {
    "angle": lambda time: time,
    "t": lambda time: time.sqrt().atan(),
    "log_snr": lambda time: (time / 2).exp().atan(),
    "sigma": lambda time: (1 / time).atan(),
}
SCHEDULES = {
    path.stem: check(composed(f"schedule={path.stem}")).options("schedule")
    for path in sorted((config_folder() / "schedule").glob("*.yaml"))
}
CHAIN = SCHEDULES["ddpm"]
TARGET = random_mixture(3, 4, "per_mode")


class Answer(torch.nn.Module):
    """The exact answer of TARGET in a convention, from the native state Y = signal X + noise G and the time alone.

    With r_k = Y - signal mu_k and v_k = signal^2 s_k^2 + noise^2, given the mode E[G | Y] = noise r_k / v_k,
    E[X | Y] = mu_k + signal s_k^2 r_k / v_k, and the score is -r_k / v_k.
    """

    def __init__(self, prediction, state, time, schedule):
        super().__init__()
        self.prediction, self.state, self.time, self.schedule = prediction, state, time, schedule

    def forward(self, state, time):
        assert time.shape == (len(state),)
        native = time.double() + (self.time == "timestep")
        angle = ANGLE_OF[self.time](native) if self.time in ANGLE_OF else self.schedule.angle(native)
        sin, cos = angle.sin()[:, None, None], angle.cos()[:, None, None]
        if self.state == "schedule":
            native = self.schedule.time(angle)
            signal, noise = (each(native)[:, None, None] for each in (self.schedule.signal, self.schedule.noise))
        else:
            signal, noise = {
                "angle": (sin, cos),
                "scaled": (torch.ones_like(sin), cos / sin),
                "localization": ((sin / cos) ** 2, sin / cos),
            }[self.state]
        residual = state[:, None] - signal * TARGET.means
        variance = (signal * TARGET.std[:, None]) ** 2 + noise**2
        logits = TARGET.weights.log() - (residual**2 / variance + variance.log()).sum(2) / 2
        weights = logits.softmax(1)[:, :, None]
        clean = (weights * (TARGET.means + signal * TARGET.std[:, None] ** 2 * residual / variance)).sum(1)
        dirt = (weights * noise * residual / variance).sum(1)
        velocity = cos[:, 0] * clean - sin[:, 0] * dirt
        return {
            "posterior_mean": clean,
            "noise": dirt,
            "velocity": velocity,
            "v_prediction": -velocity,
            "score": -(weights * residual / variance).sum(1),
        }[self.prediction]


def conventions():
    """Every state and time that exist, each with every schedule that it can be of."""
    for state in ("angle", "scaled", "localization", "schedule"):
        for time in (*ANGLE_OF, "schedule", "timestep"):
            if time == "timestep":
                yield state, time, CHAIN
            elif "schedule" in (state, time):
                yield from ((state, time, schedule) for schedule in SCHEDULES.values())
            else:
                yield state, time, None


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_exact_answer_in_any_convention_is_the_exact_posterior_mean_on_every_schedule(prediction):
    ends = [end for schedule in SCHEDULES.values() for end in (schedule.start_angle, schedule.end_angle)]
    angles = torch.tensor([0.0, *ends, 1e-3, 0.3, 0.9, 1.4, 1.57, HALF_PI], dtype=torch.float64)
    x = torch.cat([noisy_states(TARGET, float(angle), 2, seed=k) for k, angle in enumerate(angles)])
    angles = angles.repeat_interleave(2)
    for state, time, schedule in conventions():
        module = Answer(prediction, state, time, schedule)
        denoiser = ModuleDenoiser(module, prediction, state=state, time=time, schedule=schedule, angles=(0, HALF_PI))
        known = angles
        if schedule is not None:  # a chain knows the angles of its own times only
            native = schedule.time(angles)
            known = schedule.angle(native.round().clamp_min(1) if time == "timestep" else native)
        found, exact = denoiser(x, angles), TARGET.posterior_mean(x, known)
        exact[angles == HALF_PI] = x[angles == HALF_PI]
        # a noise and a score leave the rounding error eps/phi, and at most sqrt(eps) = 1.5e-8
        amplified = 1 / known.clamp_min(1.5e-8) if prediction in ("noise", "score") else torch.ones_like(known)
        allowed = 1e-13 + 2e-15 * amplified
        error = (found - exact).abs().amax(1) / (1 + exact.abs().amax(1))
        worst = int((error / allowed).argmax())
        case = f"state {state}, time {time} of {schedule}, angle {angles[worst]:.4g}: {error[worst]:.1e}"
        assert bool((error <= allowed).all()), case
        for k in (0, 5, len(angles) - 1):
            one = denoiser(x[k : k + 1], float(angles[k]))
            assert_close(one, found[k : k + 1], rtol=1e-9, atol=1e-9)


def test_single_precision_is_finite_and_near_at_every_angle():
    angles = torch.tensor([0.0, 1e-9, 1e-5, 0.01, 0.7, 1.5, 1.5707, HALF_PI])
    doubles = angles.double().clamp(max=HALF_PI)
    x = torch.cat([noisy_states(TARGET, float(angle), 1, seed=k) for k, angle in enumerate(doubles)])
    exact = TARGET.posterior_mean(x, doubles)
    for prediction, (state, time, schedule) in itertools.product(PREDICTIONS, conventions()):
        module = Answer(prediction, state, time, schedule)
        denoiser = ModuleDenoiser(module, prediction, state=state, time=time, schedule=schedule)
        found = denoiser(x.float(), angles)
        assert found.dtype == torch.float32
        assert bool(torch.isfinite(found).all()), denoiser.convention
        low, high = denoiser.convention.ends
        inside = (angles >= low) & (doubles <= high)
        if time != "timestep":
            assert_close(found[inside].double(), exact[inside], rtol=0.01, atol=0.01)


def test_beyond_the_angles_that_a_module_knows_it_answers_for_the_nearest():
    x = normal(3, 4, seed=1)
    for given, schedule in (((0.4, 1.1), None), (None, CHAIN), ((0.4, 1.1), CHAIN)):
        module = Answer("noise", "angle", "angle", None)
        denoiser = ModuleDenoiser(module, "noise", state="angle", time="angle", schedule=schedule, angles=given)
        low, high = given or (CHAIN.start_angle, CHAIN.end_angle)
        assert denoiser.convention.ends == (low, high)
        for angle, known in ((0.0, low), (low / 2, low), (0.8, 0.8), (high + 1e-4, high)):
            assert_close(denoiser(x, angle), TARGET.posterior_mean(x, known), rtol=1e-9, atol=1e-10)
        assert torch.equal(denoiser(x, HALF_PI), x)


def test_predictions_and_timesteps_mean_what_they_mean_in_diffusers():
    diffusers = pytest.importorskip("diffusers")
    with default_stream(0):
        module = Plain(4).double()
    x = normal(5, 4, seed=2)
    for theirs, ours in (("epsilon", "noise"), ("v_prediction", "v_prediction"), ("sample", "posterior_mean")):
        scheduler = diffusers.DDPMScheduler(1000, prediction_type=theirs, clip_sample=False)
        scheduler.alphas_cumprod = torch.exp(2 * CHAIN.log_signals[1:])
        denoiser = ModuleDenoiser(module, ours, time="timestep", schedule=CHAIN)
        for timestep in (0, 1, 250, 999):
            output = module(x, torch.full((5,), timestep))
            expected = scheduler.step(output, timestep, x, generator=torch.Generator()).pred_original_sample
            found = denoiser(x, float(CHAIN.angle(timestep + 1)))
            assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_names_of_other_libraries_are_understood():
    for theirs, ours in (("eps", "noise"), ("x0", "posterior_mean"), ("v", "v_prediction"), ("score", "score")):
        assert Convention(theirs) == Convention(ours)


@over(
    ("output", "says"),
    [
        ({"sample": 1}, "Returning returns a dict, and a tensor is needed"),
        (None, "Returning returns a NoneType, and"),
        ((), "Returning returns a tuple, and"),
        ((torch.ones(2, 5),), r"Returning returns the shape (2, 5) for a state of shape (2, 3)"),
    ],
)
def test_what_is_no_tensor_of_the_states_shape_is_one_line(output, says):
    class Returning(torch.nn.Module):
        def forward(self, state, time):
            return output

    assert says in refused(ScorelabError, ModuleDenoiser(Returning(), "noise"), torch.zeros(2, 3), 0.5)


def test_states_of_any_shape_and_outputs_in_a_tuple():
    class Convolution(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 1, 3, padding=1, dtype=torch.float64)

        def forward(self, state, time):
            return (self.layer(state) * time[:, None, None, None],)

    module, x = Convolution(), normal(3, 1, 4, 4, seed=3)
    denoiser = ModuleDenoiser(module, "velocity", state="scaled", time="sigma")
    each = torch.tensor([0.3, 0.8, 1.2], dtype=torch.float64)
    found = denoiser(x, each)
    for k, angle in enumerate(each.tolist()):
        sin, cos = math.sin(angle), math.cos(angle)
        state = x[k : k + 1] / sin
        expected = sin * x[k] + cos * module(state, torch.tensor([cos / sin], dtype=torch.float64))[0][0]
        assert_close(found[k], expected, rtol=1e-12, atol=1e-12)
        assert_close(denoiser(x, angle)[k], expected, rtol=1e-12, atol=1e-12)


def test_a_module_stays_in_evaluation_mode_and_can_be_differentiated():
    module = torch.nn.ModuleDict({"drop": torch.nn.Dropout(0.9)})
    module.forward = lambda state, time: module["drop"](state)
    denoiser = ModuleDenoiser(module, "noise").train()
    x = normal(2, 3, seed=4)
    assert torch.equal(denoiser(x, 0.5), denoiser(x, 0.5))
    smooth = ModuleDenoiser(Answer("score", "scaled", "sigma", None), "score", state="scaled", time="sigma")
    x = normal(2, 4, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smooth(x, 0.7), (x,), check_forward_ad=True)


def test_layers_that_share_their_weights_are_saved_and_loaded(tmp_path):
    def tied():
        first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        second.weight = first.weight
        return ModuleDenoiser(torch.nn.Sequential(first, second), "noise")

    with default_stream(1):
        denoiser, other = tied(), tied()
    write_tensors(tmp_path / "tied.safetensors", denoiser.state_dict(), {})
    load_state(tmp_path / "tied.safetensors", read_tensors(tmp_path / "tied.safetensors")[0], other)
    assert torch.equal(other.module[1].weight, denoiser.module[0].weight)


def test_a_convention_that_does_not_exist_is_refused():
    clock = SCHEDULES["ou"]
    for arguments, says in (
        ({"prediction": "epsilom"}, "prediction = epsilom: allowed are posterior_mean, noise"),
        ({"state": "y"}, "state = y: allowed are angle, scaled"),
        ({"time": "schedule"}, "time = schedule: a schedule is needed"),
        ({"state": "schedule"}, "state = schedule: a schedule is needed"),
        ({"time": "timestep", "schedule": clock}, "the schedule of a discrete chain is needed, as DDPM, not OU"),
        ({"angles": (1.0, 0.5)}, "0 <= low < high <= pi/2"),
        ({"angles": (0.5, 1.6)}, "0 <= low < high <= pi/2"),
    ):
        with pytest.raises(ValueError, match=says):
            Convention(**{"prediction": "noise", **arguments})


# From a configuration. ----------------------------------------------------------------------------------------------


@pytest.fixture
def asked(small):
    """The overrides of a small run of a module of tests/networks.py, on DDPM's timesteps."""
    small = [override for override in small if not override.startswith("denoiser.")]
    conventions = ["schedule@denoiser.schedule=ddpm", "denoiser.time=timestep"]
    return [*small, "denoiser=module", "extensions=[networks]", *conventions]


PLAIN = "denoiser.module={_target_: networks.Plain, width: 6}"


@pytest.fixture
def weights(tmp_path):
    """A file that plain torch code wrote, and its network."""
    with default_stream(7):
        network = Plain(8, 6)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors", network


def test_weights_of_a_file_are_sampled_as_they_are(asked, weights, tmp_path):
    path, network = weights
    run = tmp_path / "run"
    scorelab.run([*asked, PLAIN, f"denoiser.weights={path}", "training.enabled=false", "stage=train"], run)
    path.unlink()  # the run has the weights in a file of its own
    result = scorelab.run(["stage=sample", f"run={run}", "extensions=[networks]", "in_place=true"])
    assert result.metrics["training"]["steps"] == 0
    assert result.metrics["path_kl"]["parametric_floor"] is None
    assert "relative_error_floor" not in result.metrics["posterior_mean"]
    assert not (run / "training.csv").exists()
    loaded = load_denoiser(run / "denoiser.safetensors", result.config)
    mine = ModuleDenoiser(network, "noise", time="timestep", schedule=CHAIN)
    x, angle = normal(6, 8, seed=8, dtype=torch.float32), torch.linspace(0, HALF_PI, 6)
    assert torch.equal(loaded(x, angle), mine(x, angle))
    angles, noise = Localization(grid="angle", alpha_max=1.4, T=None, t_min=1e-3).angles(9), lambda: x
    rule = DDIM(eta=0.5)
    assert torch.equal(*(simulate(rule, each, angles, x.clone(), noise) for each in (loaded, mine)))


def test_training_is_what_the_key_says(asked, weights, tmp_path):
    path, network = weights
    fine = scorelab.run([*asked, PLAIN, "stage=train", f"denoiser.weights={path}"], tmp_path / "fine")
    assert fine.metrics["training"]["steps"] == 16
    trained = load_denoiser(tmp_path / "fine" / "denoiser.safetensors", fine.config).module
    pairs = zip(trained.state_dict().values(), network.state_dict().values(), strict=True)
    assert 0 < max(float((one - other).abs().max()) for one, other in pairs) < 0.2  # it starts from the file
    for name, enabled, steps in (("Frozen", "null", 0), ("Zero", "null", 0), ("Plain", "true", 16)):
        node = f"denoiser.module={{_target_: networks.{name}}}"
        run = scorelab.run([*asked, "stage=train", node, f"training.enabled={enabled}"], tmp_path / name)
        assert run.metrics["training"]["steps"] == steps, name
    with pytest.raises(ConfigError, match=r"training.enabled = true: the denoiser has no parameters to train"):
        scorelab.run(["denoiser=exact", "target.n=8", "stage=train", "training.enabled=true"], tmp_path / "exact")


def test_a_class_by_its_path_alone_and_parameters_that_are_not_trained(asked, tmp_path):
    asked = [*asked, "denoiser.module=networks.Plain", "stage=train", "denoiser.prediction=eps"]
    whole = scorelab.run([*asked, "training.enabled=false"], tmp_path / "whole")
    assert whole.config["denoiser"].data["prediction"] == "noise"
    part = scorelab.run([*asked, "denoiser.frozen=[hidden.*]"], tmp_path / "part")
    before, after = (
        load_denoiser(run.directory / "denoiser.safetensors", run.config).module.state_dict() for run in (whole, part)
    )
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert moved == {name for name in before if not name.startswith("hidden.")}
    with pytest.raises(ConfigError, match=r"denoiser.frozen = outer.\*: no parameter has this name; .* hidden.weight"):
        scorelab.run([*asked, "denoiser.frozen=[outer.*]"], tmp_path / "wrong")


def test_a_wrong_file_is_one_line(asked, weights, tmp_path):
    path, network = weights
    whole, state = path.read_bytes(), network.state_dict()
    wrong, number = tmp_path / "wrong.safetensors", itertools.count()

    def says(content):
        wrong.unlink(missing_ok=True)
        if isinstance(content, bytes):
            wrong.write_bytes(content)
        elif content is not None:
            save_file(content, wrong)
        with pytest.raises(ScorelabError) as caught:
            scorelab.run([*asked, PLAIN, "stage=train", f"denoiser.weights={wrong}"], tmp_path / f"run-{next(number)}")
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"denoiser.weights = {wrong}: "), text
        return text

    assert says(None).endswith("no such file")
    assert "not a whole safetensors file" in says(whole[:-10])
    assert "hidden.bias is (5,), (6,) is needed" in says(state | {"hidden.bias": torch.zeros(5)})
    assert "out.bias is missing" in says({name: value for name, value in state.items() if name != "out.bias"})
    assert "extra is no tensor of Plain" in says(state | {"extra": torch.zeros(1)})


def test_wrong_classes_and_keys_are_one_line(asked, tmp_path):
    for module, says in (
        ("{_target_: numpy.array}", "denoiser.module._target_ = numpy.array: allowed are classes of networks"),
        ("{_target_: scorelab.denoisers.ExactDenoiser}", "allowed are classes of networks"),
        ("{_target_: networks.Plan}", "denoiser.module._target_ = networks.Plan: cannot be imported"),
        ("{_target_: networks.normal}", "cannot be imported"),
        ("{_target_: networks.torch}", "a class derived from torch.nn.Module is needed"),
        ("{_target_: networks.Plain, widht: 3}", r"denoiser.module.widht: unknown key; did you mean width"),
        ("{_target_: networks.Plain, width: wide}", "denoiser.module.width = wide: "),
        ("{_target_: networks.Zero, layers: 3}", "denoiser.module.layers: unknown key"),
        ("3", "denoiser.module = 3"),
    ):
        with pytest.raises(ConfigError, match=says):
            scorelab.run([*asked, f"denoiser.module={module}"], tmp_path / "run")
    for change, says in (
        ("denoiser.prediction=epsilom", "denoiser.prediction = epsilom: must be 'posterior_mean', 'noise'"),
        ("denoiser.state=Y", "denoiser.state = Y: must be 'angle'"),
        ("denoiser.schedule=null", "denoiser.time = timestep: a schedule is needed"),
        ("denoiser.schedule.beta=x", "denoiser.schedule.beta = x: must be"),
        ("denoiser.angles=[1,0]", r"denoiser\.angles = .*0 <= low < high <= pi/2 is needed"),
    ):
        with pytest.raises(ConfigError, match=says):
            scorelab.run([*asked, PLAIN, change], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"denoiser.module: a value is needed"):
        scorelab.run(["denoiser=module"], tmp_path / "run")
    with pytest.raises(ScorelabError, match=r"Short returns the shape \(500, 1\) for a state of shape \(500, 8\)"):
        scorelab.run(
            [*asked, "denoiser.module={_target_: networks.Short}", "training.enabled=false", "sampler.count=500"],
            tmp_path / "run",
        )
