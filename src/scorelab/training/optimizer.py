"""The steps of an optimiser along the gradient of one vector."""

import torch
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

#: torch's defaults for Adam, and the momentum of gradient descent
BETAS, EPSILON, _MOMENTUM = (0.9, 0.999), 1e-8, 0.9


class Optimizer:
    """`torch.optim.AdamW`, `Adam` or `SGD` of one vector, step for step.

    Only torch's own functions are called: its classes first import its compiler, which takes a second of every run.

    kind: adamw, adam or sgd. vector (size,): with its gradient in `.grad`. fused: whether torch has the step in one
    piece on the device of the vector.
    """

    def __init__(self, kind: str, vector, weight_decay: float, fused: bool):
        self.kind, self.vector, self.weight_decay, self.fused = kind, vector, weight_decay, fused
        #: whether a CUDA graph is being made of a step, which torch's functions want to know
        self.captured = False
        #: name -> tensor: the moments and the number of steps so far; empty before the first step
        self.state = {}

    @torch.no_grad()
    def step(self, lr):
        """Change the vector by one step of size `lr`, a number or a tensor (), along its gradient."""
        values, gradients = [self.vector], [self.vector.grad]
        common = {"lr": lr, "weight_decay": self.weight_decay, "fused": self.fused, "maximize": False}
        if self.kind == "sgd":
            velocity = [self.state.get("momentum_buffer")]
            sgd(values, gradients, velocity, momentum=_MOMENTUM, dampening=0, nesterov=False, **common)
            self.state["momentum_buffer"] = velocity[0]
            return
        if not self.state:
            self.state = {
                "step": torch.zeros((), dtype=torch.float32, device=self._device_of_step),
                "exp_avg": torch.zeros_like(self.vector),
                "exp_avg_sq": torch.zeros_like(self.vector),
            }
        means, squares, steps = ([self.state[name]] for name in ("exp_avg", "exp_avg_sq", "step"))
        rule, (beta1, beta2) = {"adamw": adamw, "adam": adam}[self.kind], BETAS
        more = {"beta1": beta1, "beta2": beta2, "eps": EPSILON, "amsgrad": False}
        more["capturable"] = self.captured
        rule(values, gradients, means, squares, [], steps, **more, **common)

    @property
    def _device_of_step(self):
        """A step in one piece counts on the device; any other one on the CPU, where no device is waited for."""
        return self.vector.device if self.fused else torch.device("cpu")

    def load(self, state: dict):
        """Go on from the `state` of another optimiser of the same kind, which is copied."""
        devices = {"step": self._device_of_step}
        self.state = {
            name: value.detach().to(devices.get(name, self.vector.device), copy=True) for name, value in state.items()
        }
