"""The squared error of many networks of algorithm 1 at once, and its gradient, in closed form.

Automatic differentiation takes more time for a small batch than the matrix products that it orders. Here a step is
seventeen operations for any number of networks. With u the input, e the sinusoids of the angle, and sums over the
features l written out,

    s = W0 e + b0        h = activation(W1 u + b1)        F_l = W2_l h        N = sum_l s_l F_l + b2
    residual = sqrt(w) (skip x + out N) - sqrt(w) X        loss = mean of residual^2 over samples and entries
    dN = 2/(count n) sqrt(w) out residual        dF_l = s_l dN        ds_l = <dN, F_l>        dh = sum_l W2_l^T dF_l

where d is the derivative of the loss in what follows. The derivatives of the weights are sums over the samples of outer
products, as dW2_l = sum dF_l h^T. `tests/test_stack.py` holds them to automatic differentiation.
"""

import math

import torch

from scorelab.channel import aligned
from scorelab.denoisers.outer_product import OuterProductDenoiser

#: activation -> the function in place, and the derivative from its value
_ACTIVATIONS = {
    "tanh": (torch.Tensor.tanh_, lambda value: 1 - value.square()),
    "relu": (torch.Tensor.relu_, lambda value: value > 0),
}


def knows(denoiser) -> bool:
    """Whether the gradient of this denoiser is known here: algorithm 1, with tanh or relu, all of it trained."""
    own = type(denoiser) is OuterProductDenoiser and denoiser.activation.__name__ in _ACTIVATIONS
    return own and all(parameter.requires_grad for parameter in denoiser.parameters())


class Gradient:
    """Losses and gradients of R networks with one architecture.

    denoiser: one of them. values, gradient (R, P): their parameters, each network in a row in the order of
    `denoiser.parameters()`, and the place for the gradients.
    """

    def __init__(self, denoiser: OuterProductDenoiser, values, gradient):
        self.denoiser = denoiser
        self.activate, self.slope = _ACTIVATIONS[denoiser.activation.__name__]
        shapes = [(name, parameter.shape) for name, parameter in denoiser.named_parameters()]
        self.values, self.slopes = ({}, {})
        for matrix, views in ((values, self.values), (gradient, self.slopes)):
            pieces = matrix.split([math.prod(shape) for _, shape in shapes], 1)
            for (name, shape), piece in zip(shapes, pieces, strict=True):
                views[name] = piece.unflatten(1, shape if len(shape) > 1 else (1, *shape))

    def columns(self, x, angle, goal, root=None):
        """What a step needs of the states (count, *shape) of one network, for many batches at a time: the columns of a
        regression in another form. Returns u, e, skip x sqrt(w) - X sqrt(w) and out sqrt(w), each (count, ...)."""
        skip, out, seen, embedded = self.denoiser.factors(x.flatten(1), angle.unsqueeze(1))
        root = torch.ones_like(angle).unsqueeze(1) if root is None else aligned(root.flatten(), goal.flatten(1))
        rest = skip * root * x.flatten(1) - goal.flatten(1)
        factor = root if out is None else out * root
        return seen, embedded, rest, factor.expand(len(x), 1)

    def __call__(self, u, e, rest, factor):
        """The losses (R,) at a batch (R, count, ...) of each network; the gradients are put in their place."""
        w, d = self.values, self.slopes
        size = 2 / (rest.shape[1] * rest.shape[2])
        h = self.activate(torch.baddbmm(w["linear_1.bias"], u, w["linear_1.weight"].mT)).unsqueeze(2)
        s = torch.baddbmm(w["linear_0.bias"], e, w["linear_0.weight"].mT).unsqueeze(3)
        z = (s * h).flatten(2)
        output = torch.baddbmm(w["linear_2.bias"], z, w["linear_2.weight"].mT)
        residual = torch.addcmul(rest, output, factor)
        losses = residual.square().mean((1, 2))
        residual.mul_(factor * size)
        torch.sum(residual, 1, keepdim=True, out=d["linear_2.bias"])
        torch.bmm(residual.mT, z, out=d["linear_2.weight"])
        of_z = torch.bmm(residual, w["linear_2.weight"]).unflatten(2, s.shape[2:3] + h.shape[3:])
        of_s = torch.linalg.vecdot(of_z, h)
        of_h = of_z.mul_(s).sum(2).mul_(self.slope(h.squeeze(2)))
        torch.bmm(of_h.mT, u, out=d["linear_1.weight"])
        torch.sum(of_h, 1, keepdim=True, out=d["linear_1.bias"])
        torch.bmm(of_s.mT, e, out=d["linear_0.weight"])
        torch.sum(of_s, 1, keepdim=True, out=d["linear_0.bias"])
        return losses
