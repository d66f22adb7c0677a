"""A denoiser for each phase of the noise level."""

import bisect
import itertools
import math

import torch

from scorelab.channel import HALF_PI
from scorelab.denoisers.base import Denoiser, Part


class PhaseAwareDenoiser(Denoiser):
    """One denoiser for each phase of the noise level (Visconti 2025, section 7.7).

    switches: increasing angles, in radians, at which the next denoiser takes over. denoisers: one more than `switches`.
    Each denoiser is trained on all samples, at the angles of its phase and up to `overlap` radians beyond them, as in
    the published code.
    """

    def __init__(self, denoisers, switches, overlap: float):
        super().__init__()
        self.phases = torch.nn.ModuleList(denoisers)
        self.overlap = overlap
        self.ends = list(switches)  # the same numbers: reading them from a device takes time
        self.register_buffer("switches", torch.tensor(switches, dtype=torch.float64))

    def forward(self, x, angle):
        """The posterior mean by the denoiser of the phase that the angle lies in; see `Denoiser.forward`."""
        if not isinstance(angle, torch.Tensor) or not angle.dim():
            return self.phases[bisect.bisect_right(self.ends, float(angle))](x, angle)
        phase = torch.bucketize(angle.to(self.switches), self.switches, right=True)
        mean = torch.empty_like(x)
        for number, denoiser in enumerate(self.phases):
            here = phase == number
            mean[here] = denoiser(x[here], angle[here])
        return mean

    def jumps(self):
        return sorted({*super().jumps(), *self.switches.tolist()})

    def parts(self, samples, target):
        """One part for each phase, trained on all samples."""
        ends = [0.0, *self.switches.tolist(), HALF_PI]
        return [
            Part(f"phase_{k + 1}", denoiser, samples, target, (ends[k] - self.overlap, ends[k + 1] + self.overlap))
            for k, denoiser in enumerate(self.phases)
        ]


def switch_angles(switches, target) -> list[float]:
    """The angles of the switches; a switch is a time t = tan^2(angle), or `speciation` for the time of the target.

    Raises ValueError if the angles do not increase, and for a target that has no speciation time.
    """
    angles = [target.speciation_angle() if name == "speciation" else math.atan(math.sqrt(name)) for name in switches]
    if None in angles:
        raise ValueError("switches: speciation: this target has no speciation time; a time t > 0 is needed")
    if any(low >= high for low, high in itertools.pairwise(angles)):
        raise ValueError(f"switches = {switches}: their times must increase")
    return angles
