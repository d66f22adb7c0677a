"""The options of the denoiser of the studies that sample spins with AMP."""

from typing import Literal

from scorelab.options import Count, Natural, Options


class Amp(Options):
    """The denoiser; see `scorelab.denoisers.Amp`. step_size is 1/2 and there is no damping."""

    iterations: Count
    descent_steps: Natural
    onsager: Literal["mean", "entries", "none"]

    @property
    def half(self) -> "Amp":
        """Half as many iterations of both kinds."""
        return self.model_copy(
            update={"iterations": max(self.iterations // 2, 1), "descent_steps": self.descent_steps // 2}
        )

    def on(self, target):
        """The denoiser of a target."""
        from scorelab.denoisers.amp import AMPDenoiser

        return AMPDenoiser(target.couplings, **self.model_dump())
