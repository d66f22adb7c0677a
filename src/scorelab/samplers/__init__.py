"""Samplers: rules for one step from noise towards data, and the one loop that drives them."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Sampler"],
        "ddim": ["DDIM"],
        "ddpm": ["DDPMAncestral"],
        "dpm_solver": ["DPMSolver2M", "DPMSolverSDE2M"],
        "euler_maruyama": ["EulerMaruyama"],
        "flow": ["FlowEuler", "FlowHeun"],
        "loop": ["draw_samples", "simulate"],
    },
)
