"""Samplers: rules for one step from noise towards data, and the one loop that drives them."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Sampler"],
        "ddim": ["DDIM"],
        "ddpm": ["DDPMAncestral"],
        "dpm_solver": ["DPMSolver2M", "DPMSolverSDE2M"],
        "dpm_solver_3m": ["DPMSolver3M", "DPMSolverSDE3M"],
        "euler_maruyama": ["EulerMaruyama"],
        "flow": ["FlowEuler", "FlowHeun"],
        "langevin": ["MALA", "ULA", "AnnealedLangevin"],
        "loop": ["draw_samples", "simulate"],
        "predictor_corrector": ["PredictorCorrector"],
        "reverse_sde": ["ExponentialIntegrator", "ReverseSDE"],
    },
)
