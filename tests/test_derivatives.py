"""Derivatives that implicit objectives need: against finite differences, for our denoisers and those of others."""

import functools

import pytest
import torch
from helpers import assert_close, composed, normal, over, random_mixture, refused, seeded
from networks import Plain
from test_objectives import IMPLICIT, gradient, jacobians, losses_of, objective
from test_training import network, trainer
from torch.nn import functional

from scorelab.channel import mix
from scorelab.denoisers import Denoiser, ModuleDenoiser
from scorelab.errors import ScorelabError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.randomness import default_stream
from scorelab.training import derivatives
from scorelab.training.derivatives import quadratic_forms, require_derivatives, trace

N = 6
TARGET = random_mixture(2, N)
WIDTH = 8


class Of(Plain):
    """`Plain` with a function of its hidden layer, and with layers that the function may use."""

    def __init__(self, function, **layers):
        super().__init__(N, WIDTH)
        self.function, self.layers = function, torch.nn.ModuleDict(layers)

    def forward(self, state, time):
        hidden = torch.tanh(self.hidden(torch.cat([state, time.to(state.dtype).unsqueeze(1)], 1)))
        return self.out(self.function(hidden, **self.layers))


class Energy(Plain):
    """A gradient of a network, as energy-based models have it."""

    def forward(self, state, time):
        state = state if state.requires_grad else state.requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(super().forward(state, time).square().sum(), state, create_graph=True)[0]


class OwnPrecision(Plain):
    """A network that cannot be moved to another precision."""

    def __init__(self):
        super().__init__(N, WIDTH)
        self.mixing = torch.eye(N)  # neither a parameter nor a buffer

    def forward(self, state, time):
        return super().forward(state @ self.mixing, time)


class OnTheContract(Denoiser):
    """A module whose mode the denoiser does not fix, and which sees x itself."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, angle):
        return self.module(x, angle)


def heads(hidden):
    return hidden.view(-1, 4, 2)


def attention(hidden, layer):
    return layer(heads(hidden), heads(hidden), heads(hidden), need_weights=False)[0].flatten(1)


def fused_attention(hidden):
    return functional.scaled_dot_product_attention(*(heads(each) for each in (hidden, 2 * hidden, hidden))).flatten(1)


def in_place(hidden):
    hidden = hidden.clone().mul_(2).sin_()
    hidden[:, 0] = 0
    return hidden


def modules():
    """Networks of somebody else's that can be differentiated twice; their weights are random."""
    block = torch.nn.TransformerEncoderLayer(2, 1, 8, dropout=0.3, batch_first=True)
    return {
        "plain": Plain(N, WIDTH),
        "ReLU": Of(torch.relu),
        "softmax": Of(lambda hidden: torch.softmax(3 * hidden, 1) * torch.logsumexp(hidden, 1, keepdim=True)),
        "layer norm": Of(lambda hidden, layer: layer(hidden), layer=torch.nn.LayerNorm(WIDTH)),
        "group norm": Of(lambda hidden, layer: layer(hidden), layer=torch.nn.GroupNorm(2, WIDTH)),
        "RMS norm": Of(lambda hidden, layer: layer(hidden), layer=torch.nn.RMSNorm(WIDTH)),
        "batch norm": Of(lambda hidden, layer: layer(hidden), layer=torch.nn.BatchNorm1d(WIDTH)),
        "attention": Of(attention, layer=torch.nn.MultiheadAttention(2, 1, batch_first=True)),
        "fused attention": Of(fused_attention),
        "transformer": Of(lambda hidden, layer: layer(heads(hidden)).flatten(1), layer=block),
        "in place": Of(in_place),
        "energy": Energy(N, WIDTH),
    }


@pytest.fixture(scope="module")
def denoisers():
    """Name -> a denoiser with random weights, all of the laboratory's that are trained, and modules of others."""
    built = {}
    with default_stream(0):
        for name in sorted(path.stem for path in (config_folder() / "denoiser").glob("*.yaml")):
            if name not in ("amp", "exact", "mean_field", "module", "unet"):  # a U-Net is of images
                written = composed(f"denoiser={name}", f"target.n={N}")
                built[name] = check(written).options("denoiser").build(n=N, target=TARGET)
        built |= {name: ModuleDenoiser(module, "velocity") for name, module in modules().items()}
        for denoiser in built.values():
            for parameter in denoiser.parameters():
                parameter.data += 0.2 * torch.randn(parameter.shape)
    return built


def states(count, dtype=torch.float64):
    angle = torch.linspace(0, 1.3, count, dtype=dtype)
    return mix(TARGET.sample(count, seeded(1), dtype), normal(count, N, seed=2, dtype=dtype), angle), angle


def require_gradient(loss, denoiser, case=None, step=1e-6):
    """The gradient of a loss is that of central differences along a random direction of each parameter."""
    parameters = list(denoiser.parameters())
    directions = [normal(*parameter.shape, seed=number) for number, parameter in enumerate(parameters)]
    parts = gradient(loss(), denoiser).split([parameter.numel() for parameter in parameters])
    slopes = [float(part @ direction.flatten()) for part, direction in zip(parts, directions, strict=True)]
    found = []
    for parameter, direction in zip(parameters, directions, strict=True):
        start, values = parameter.data.clone(), []
        for sign in (1, -1):
            parameter.data.copy_(start + sign * step * direction)
            values.append(float(loss().detach()))
        parameter.data.copy_(start)
        found.append((values[0] - values[1]) / (2 * step))
    largest = max(map(abs, found))
    assert largest > 1e-3, case
    assert_close(slopes, found, rtol=1e-6, atol=1e-7 * largest, case=case)


@pytest.mark.parametrize("name", IMPLICIT)
def test_the_gradient_is_that_of_finite_differences(name, denoisers):
    x, angle = states(4)
    made = objective(name, TARGET, probe="gaussian", probes=2)
    columns = made.columns(None, x, angle, seeded(3))
    for which, denoiser in denoisers.items():
        require_gradient(functools.partial(made.loss, denoiser.double(), x, angle, *columns), denoiser, which)


@pytest.mark.parametrize("n", [6, 20])  # fewer and more outputs than hidden units
def test_traces_and_forms_are_those_of_finite_differences(n):
    denoiser, x, angle = network(n=n).double(), normal(5, n, seed=3), torch.linspace(0, 1.5, 5, dtype=torch.float64)
    jacobian = jacobians(denoiser, x, angle)
    assert_close(trace(denoiser, x, angle).detach(), jacobian.diagonal(dim1=1, dim2=2).sum(1), rtol=1e-7, atol=1e-8)
    probes = normal(5, 3, n, seed=4)
    estimate, forms = quadratic_forms(denoiser, x, angle, probes)
    assert_close(estimate, denoiser(x, angle), rtol=1e-12, atol=1e-14)
    assert_close(forms.detach(), torch.einsum("bpi,bij,bpj->bp", probes, jacobian, probes), rtol=1e-7, atol=1e-7)


def test_an_exact_trace_in_pieces_has_the_same_gradient(denoisers, monkeypatch):
    x, angle = states(5)
    whole = {}
    for name, denoiser in denoisers.items():
        found = trace(denoiser.double(), x, angle)
        whole[name] = found.detach(), gradient(found.square().sum(), denoiser)
    monkeypatch.setattr(derivatives, "_CHUNK", 2 * x.numel())
    for name, denoiser in denoisers.items():
        found = trace(denoiser, x, angle)
        assert_close(found.detach(), whole[name][0], rtol=1e-10, atol=1e-12, case=name)
        pieces = gradient(found.square().sum(), denoiser)
        assert_close(pieces, whole[name][1], rtol=1e-10, atol=1e-12, case=name)


def test_what_does_not_depend_on_the_state_or_on_parameters_has_no_derivative():
    x, angle = states(3)
    constant = OnTheContract(lambda x, angle: torch.zeros_like(x))
    bias = torch.nn.Parameter(torch.ones(N))
    for denoiser in (constant, OnTheContract(lambda x, angle: bias.expand_as(x))):
        estimate, forms = quadratic_forms(denoiser, x, angle, x.unsqueeze(1))
        assert not bool(forms.any())
        assert estimate.shape == x.shape
    linear = trace(OnTheContract(lambda x, angle: 2 * x), x, angle)
    assert_close(linear, torch.full_like(linear, 2 * N), rtol=1e-14)


def test_a_network_that_changes_its_input_changes_no_loss():
    x, angle = states(4)
    module = Plain(N, WIDTH).double()
    changing = OnTheContract(lambda x, angle: module(x.mul_(2), angle))
    keeping = OnTheContract(lambda x, angle: module(2 * x, angle))
    for name in IMPLICIT:
        changed, kept = (
            losses_of(objective(name, TARGET), one, None, x, angle, seeded(1)) for one in (changing, keeping)
        )
        assert_close(changed, kept, rtol=1e-12)


def test_random_parts_are_the_same_in_every_piece_of_a_backward_pass(monkeypatch):
    """The gradient belongs to the loss that was computed."""
    x, angle = states(5)
    denoiser = OnTheContract(Of(lambda hidden: functional.dropout(hidden, 0.5)).double())
    monkeypatch.setattr(derivatives, "_CHUNK", 2 * x.numel())

    def loss():
        with default_stream(5):
            return trace(denoiser, x, angle).sum()

    require_gradient(loss, denoiser)
    found, before = loss(), torch.get_rng_state()
    gradient(found, denoiser)
    assert bool((torch.get_rng_state() == before).all())


# What is refused. ---------------------------------------------------------------------------------------------------


class Constant(torch.autograd.Function):
    """tanh, with a backward pass whose own derivative is lost."""

    @staticmethod
    def forward(context, x):
        context.slope = 1 - x.detach().tanh() ** 2
        return x.tanh()

    @staticmethod
    def backward(context, upstream):
        return upstream * context.slope


def without_gradient(hidden):
    with torch.no_grad():
        scale = hidden.norm(dim=1, keepdim=True)
    return hidden / scale


LOST, MISSING, MIXED = "is not that of finite differences", "cannot be differentiated twice", "depends on the others"


@over(
    ("function", "says"),
    [
        (without_gradient, f"v^T D_x m_hat v by torch {LOST}"),
        (lambda hidden: hidden * hidden.detach(), f"v^T D_x m_hat v by torch {LOST}"),
        (lambda hidden: hidden + (hidden.round() - hidden).detach(), f"v^T D_x m_hat v by torch {LOST}"),
        (Constant.apply, f"the gradient of v^T D_x m_hat v by torch {LOST}"),
        (lambda hidden: hidden + torch.cdist(heads(hidden), heads(hidden)).flatten(1)[:, :WIDTH], MISSING),
        (lambda hidden: hidden - hidden.mean(0), MIXED),
    ],
)
def test_a_network_without_the_derivatives_is_refused_in_one_line(function, says):
    with default_stream(0):
        denoiser = ModuleDenoiser(Of(function), "velocity")
    text = refused(
        ScorelabError, require_derivatives, denoiser, *states(8, torch.float32), "training.objective = sliced"
    )
    assert says in text
    assert text.startswith("denoiser ModuleDenoiser")
    assert "training.objective = sliced need" in text
    assert "\n" not in text


def test_a_network_with_the_derivatives_is_not_refused(denoisers):
    """Nor one that starts at 0, needs its own precision, draws at random or hides parameters on purpose."""
    zero = trainer().denoiser
    for parameter in zero.linear_2.parameters():
        torch.nn.init.zeros_(parameter)
    hidden_weight = torch.nn.Linear(WIDTH, WIDTH)
    others = {
        "zero": zero,
        "own precision": OnTheContract(OwnPrecision()),
        "random": OnTheContract(Of(lambda hidden: functional.dropout(hidden, 0.5))),
        "on purpose": OnTheContract(
            Of(lambda hidden, layer: functional.linear(hidden, layer.weight.detach()), layer=hidden_weight)
        ),
    }
    x, angle = states(8, torch.float32)
    for name, denoiser in (denoisers | others).items():
        require_derivatives(denoiser.float(), x[:, :4] if name == "zero" else x, angle, name)


def test_batch_normalisation_in_training_mode_is_refused_and_its_statistics_are_left_alone():
    layer = torch.nn.BatchNorm1d(WIDTH)
    denoiser = OnTheContract(Of(lambda hidden, layer: layer(hidden), layer=layer)).train()
    before = layer.running_mean.clone()
    assert MIXED in refused(ScorelabError, require_derivatives, denoiser, *states(8, torch.float32), "sliced")
    assert bool((layer.running_mean == before).all())


def test_a_training_refuses_before_its_first_step():
    class Rounding(Denoiser):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x, angle):
            return self.inner(x.detach(), angle)

    made = trainer()
    for name in IMPLICIT:
        options = made.options.model_copy(update={"objective": name})
        text = refused(ScorelabError, type(made), Rounding(), made.target, options, 0)
        assert f"training.objective = {name} needs it" in text
    type(made)(Rounding(), made.target, made.options, 0)
