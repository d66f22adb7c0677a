"""Adam and AdamW for many networks at once, whose parameters are the rows of a matrix."""

import math

import torch

from scorelab.training.optimizer import BETAS, EPSILON

#: what `table` has for each step and row
COLUMNS = ("decay", "step_size", "root", "l2", "clip", "share")
#: the options that the numbers of a step depend on
_OPTIONS = ("optimizer", "lr", "lr_schedule", "warmup", "weight_decay", "clip", "averaging")


def table(trainers, steps: int) -> torch.Tensor:
    """The numbers of the next steps of each training, (R, steps, 6) float32, on the CPU:

    decay       the factor of the weights, 1 - lr weight_decay for adamw
    step_size   lr / (1 - beta_1^k)            root    1/sqrt(1 - beta_2^k), for the k-th step
    l2          weight_decay for adam          clip    the largest norm of a gradient, inf for none
    share       of the new weights in their average, 0 for a row without one
    """
    rows, known = [], {}
    for each in trainers:
        options = each.options
        of = (each.step, options.total_steps, each.average is None)
        of += tuple(getattr(options, name) for name in _OPTIONS)
        if of not in known:  # many rows differ in their seeds alone
            known[of] = torch.tensor([_numbers(each, step) for step in range(each.step, each.step + steps)])
        rows.append(known[of])
    return torch.stack(rows)


def _numbers(trainer, step: int):
    options, (lr, share) = trainer.options, trainer.sizes(step)
    coupled = options.optimizer == "adam"
    return (
        1.0 if coupled else 1 - lr * options.weight_decay,
        lr / (1 - BETAS[0] ** (step + 1)),
        1 / math.sqrt(1 - BETAS[1] ** (step + 1)),
        options.weight_decay if coupled else 0.0,
        math.inf if options.clip is None else options.clip,
        0.0 if trainer.average is None else share,
    )


def update(values, gradient, first, second, average, numbers):
    """A step of every row. values, gradient, first, second, average (R, P): the parameters, their gradient and its two
    moments, and the running average or None; all but the gradient change in place. numbers (R, 6): of `table`."""
    decay, step_size, root, l2, clip, share = numbers.split(1, 1)
    norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    gradient = torch.addcmul(gradient * (clip / (norm + 1e-6)).clamp_max(1.0), l2, values)
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    values.mul_(decay).sub_(step_size * first / (second.sqrt() * root + EPSILON))
    if average is not None:
        average.lerp_(values, share)
