"""Every sampling rule by name, schedules to run it on, and a run of it with given noise."""

import itertools
import math

import torch

from scorelab.samplers import (
    DDIM,
    MALA,
    ULA,
    AnnealedLangevin,
    DDPMAncestral,
    DPMSolver2M,
    DPMSolver3M,
    DPMSolverSDE2M,
    DPMSolverSDE3M,
    EulerMaruyama,
    ExponentialIntegrator,
    FlowEuler,
    FlowHeun,
    PredictorCorrector,
    ReverseSDE,
)
from scorelab.samplers.loop import simulate
from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization

DETERMINISTIC = {
    "ddim": DDIM(eta=0.0),
    "flow_euler": FlowEuler(coordinate="angle"),
    "heun": FlowHeun(coordinate="angle"),
    "dpm_solver_2m": DPMSolver2M(),
    "dpm_solver_3m": DPMSolver3M(),
}
STOCHASTIC = {
    "euler_maruyama": EulerMaruyama(),
    "ddim_1": DDIM(eta=1.0),
    "ddim_half": DDIM(eta=0.5),
    "ddpm_posterior": DDPMAncestral(variance="posterior"),
    "ddpm_beta": DDPMAncestral(variance="beta"),
    "dpm_solver_2m_sde": DPMSolverSDE2M(),
    "dpm_solver_3m_sde": DPMSolverSDE3M(),
}
#: rules that work in the schedule's own clock, which must start at an angle > 0
NATIVE_DETERMINISTIC = {
    "flow_euler_native": FlowEuler(coordinate="native"),
    "heun_native": FlowHeun(coordinate="native"),
}
NATIVE_STOCHASTIC = {
    "reverse_sde": ReverseSDE(),
    "exponential_integrator": ExponentialIntegrator(),
}
NATIVE = NATIVE_DETERMINISTIC | NATIVE_STOCHASTIC
#: predictor -> the rule that it is
PREDICTORS = {
    "ancestral": STOCHASTIC["ddim_1"],
    "ddim": DETERMINISTIC["ddim"],
    "reverse_sde": NATIVE["reverse_sde"],
}
#: rules that are not of one step of an ODE or SDE
CORRECTED = {f"corrected_{name}": PredictorCorrector(predictor=name, corrections=1, snr=0.1) for name in PREDICTORS}
LANGEVIN = {
    "annealed_langevin": AnnealedLangevin(repeats=5, step_size=0.1),
    "ula": ULA(step_size=0.1, noise_level=0.5),
    "mala": MALA(step_size=0.1, noise_level=0.5),
}
IN_THE_ANGLE = DETERMINISTIC | STOCHASTIC
ALL = IN_THE_ANGLE | NATIVE | CORRECTED | LANGEVIN
END = 1.3

#: short clocks, on which 40 steps are many: the orders are measured on them
SHORT = {
    "ou": OU(grid="native", beta=0.7, sigma=1.3, T=2.0, t_min=0.05),
    "vp": VP(grid="native", beta="linear", beta_min=0.1, beta_max=8.0, T=1.0, t_min=0.1),
    "vp_cosine": VP(grid="native", beta="cosine", beta_min=0.1, beta_max=8.0, T=0.8, t_min=0.1),
    "ve": VE(grid="native", sigma_min=0.3, sigma_max=3.0),
    "edm": EDM(grid="native", sigma_min=0.3, sigma_max=3.0),
    "ddpm": DDPM(grid="native", timesteps=2561, beta="linear", beta_min=2.5e-5, beta_max=2.5e-3),
}
#: clocks that start from next to pure noise
LONG = {
    "localization": Localization(grid="log_snr", alpha_max=END, T=None, t_min=1e-2),
    "ou": OU(grid="log_snr", beta=1.0, sigma=math.sqrt(2), T=5.0, t_min=0.05),
    "vp": VP(grid="log_snr", beta="linear", beta_min=0.1, beta_max=20.0, T=1.0, t_min=0.05),
    "ve": VE(grid="log_snr", sigma_min=0.2, sigma_max=50.0),
    "edm": EDM(grid="karras", sigma_min=0.2, sigma_max=50.0),
    "ddpm": DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02),
}


def grid(steps, name="angle"):
    return Localization(grid=name, alpha_max=END, T=None, t_min=1e-2).angles(steps)


def run(rule, denoiser, angles, x, draws=None, schedule=None, observe=None):
    stream = iter(draws if draws is not None else itertools.repeat(torch.zeros_like(x)))
    return simulate(rule, denoiser, angles, x.clone(), lambda: next(stream), observe, schedule)


def home(name):
    """A schedule that the rule runs on."""
    return LONG["localization"] if name in IN_THE_ANGLE else SHORT["ou"]


def fitted_order(errors, steps):
    """The slope of log error against log step."""
    logs = torch.log(torch.tensor([steps, errors], dtype=torch.float64))
    centred = logs - logs.mean(1, keepdim=True)
    return float(-(centred[0] * centred[1]).sum() / centred[0].square().sum())
