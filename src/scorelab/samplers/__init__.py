"""Samplers: rules for one step from noise towards data, the job that samples by a rule, and the one loop over steps."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Sampler", "Step"],
        "ddim": ["DDIM"],
        "ddpm": ["DDPMAncestral"],
        "dpm_solver": ["DPMSolver2M", "DPMSolverSDE2M"],
        "dpm_solver_3m": ["DPMSolver3M", "DPMSolverSDE3M"],
        "euler_maruyama": ["EulerMaruyama"],
        "flow": ["FlowEuler", "FlowHeun"],
        "job": ["Sampling"],
        "langevin": ["MALA", "ULA", "AnnealedLangevin"],
        "loop": ["Found", "draw_samples", "simulate"],
        "predictor_corrector": ["PredictorCorrector"],
        "reverse_sde": ["ExponentialIntegrator", "ReverseSDE"],
    },
)
