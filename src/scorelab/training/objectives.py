"""Objectives: weighted squared errors of the posterior mean.

Each is E w(phi) |X - m_hat(x_phi, phi)|^2 / n. Its least value is E w(phi) R(phi) / n with R the Bayes risk, and the
excess over it is E w(phi) |m - m_hat|^2 / n, so that all objectives have the exact posterior mean as their minimiser.
"""

import torch


def _posterior_mean(angle):
    return None


def _velocity(angle):
    """v - v_hat = (m - m_hat) / cos(phi)."""
    return 1 / torch.cos(angle)


#: name -> function from angles to sqrt(w), None where w = 1
OBJECTIVES = {"posterior_mean": _posterior_mean, "velocity": _velocity}
