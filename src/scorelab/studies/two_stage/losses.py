"""The loss that a stage descends, and the losses that only this study has; `scorelab.theory.student` has the others.

A loss is a function of mu (starts, n) that returns the values (starts,) and their gradients (starts, n).
"""

import math

import torch

from scorelab.theory.student import Averaged, Maximization, expectations, mean_of


def loss_of(study, plan, star, clean=None, noise=None):
    """The loss of a stage, per coordinate, as a function of mu.

    star (n,): mu*. clean, noise (starts, N, n): the samples, and one draw of noise per sample; None for the
    population.
    """
    t, n = plan.t, len(star)
    sin, cos2 = math.sqrt(t / (1 + t)), 1 / (1 + t)
    ddpm, population = study.objective == "ddpm", clean is None
    centres = star.reshape(1, 1, n) if population else clean
    drawn = not population and (study.protocol == "author" or study.noise == "drawn")
    if study.protocol == "text":
        states = sin * centres + math.sqrt(cos2) * noise if drawn else sin * centres
        of_states = 1.0 if population else 0.0 if drawn else cos2
        of_clean = 1.0 if population else 0.0
        if plan.number == 1:
            scale, signal, norm, factor = (sin, 2.0, 3.0, 1 / n) if ddpm else (1.0, 4 * t, 2 * t, 1 / n)
            return PrintedHighNoise(scale * centres, scale**2 * (1 - of_clean), scale, signal, norm, factor)
        return Maximization(states, of_states, sin, 1 / n) if ddpm else PrintedLowNoise(centres, of_clean, cos2**2 / n)
    if study.protocol == "author" and plan.number == 2:
        if population:
            return Averaged(centres, 1.0, 1.0, False, star.square().sum() + n, cos2**2 / n)
        return Drawn(clean, clean, 1.0, cos2**2 / n)
    factor = (1.0 if ddpm else 1 / (t * (1 + t))) / n
    if drawn:
        return Drawn(sin * clean + math.sqrt(cos2) * noise, sin * (clean - math.sqrt(t) * noise), sin, factor)
    squared = centres.square().sum(-1).mean(-1) + (n if population else 0.0)
    return Averaged(sin * centres, 1.0 if population else cos2, sin, True, sin**2 * (squared + t * n), factor)


class Drawn:
    """The mean of |tanh<b,x> b - d|^2 over states x with targets d, (starts, N, n) each; b = scale mu."""

    def __init__(self, states, targets, scale, factor):
        self.states, self.targets, self.scale, self.factor = states, targets, scale, factor
        self.constant = targets.square().sum(-1).mean(-1)

    def __call__(self, mu):
        b = self.scale * mu
        q = b.square().sum(-1, keepdim=True)
        w, u = ((each @ b.unsqueeze(-1)).squeeze(-1) for each in (self.states, self.targets))
        T = torch.tanh(w)
        S = 1 - T**2
        value = (q * T**2 - 2 * T * u).mean(-1) + self.constant
        gradient = mean_of(2 * S * (q * T - u), self.states) - mean_of(2 * T, self.targets)
        return self.factor * value, self.factor * self.scale * (gradient + 2 * T.square().mean(-1, keepdim=True) * b)


class PrintedHighNoise:
    """The form norm |b|^2 b - signal (b.b*) b* of the printed gradients at high noise, with its potential as the loss.

    b = scale mu. vectors (starts or 1, M, n): b* itself, M = 1, or states; the second moment of the states less share I
    stands for b* b*^T.
    """

    def __init__(self, vectors, share, scale, signal, norm, factor):
        self.vectors, self.share, self.scale = vectors, share, scale
        self.signal, self.norm, self.factor = signal, norm, factor

    def __call__(self, mu):
        b = self.scale * mu
        q = b.square().sum(-1, keepdim=True)
        p = (self.vectors @ b.unsqueeze(-1)).squeeze(-1)
        pull = mean_of(p, self.vectors) - self.share * b
        value = 0.25 * self.norm * q.squeeze(-1) ** 2 - 0.5 * self.signal * (b * pull).sum(-1)
        return self.factor * value, self.factor * self.scale * (self.norm * q * b - self.signal * pull)


class PrintedLowNoise:
    """2 E[tanh^2 w] mu, the gradient printed for the second stage of stochastic localization, and the loss
    E[tanh^2 w] |mu|^2; w ~ N(<mu,c>, share |mu|^2) for each of the centres c (starts or 1, M, n)."""

    def __init__(self, centres, share, factor):
        self.centres, self.share, self.factor = centres, share, factor

    def __call__(self, mu):
        q = mu.square().sum(-1, keepdim=True)
        p = (self.centres @ mu.unsqueeze(-1)).squeeze(-1)
        mean = (1 - expectations(p, (self.share * q).expand(p.shape)).S).mean(-1, keepdim=True)
        return self.factor * (mean * q).squeeze(-1), self.factor * 2 * mean * mu
