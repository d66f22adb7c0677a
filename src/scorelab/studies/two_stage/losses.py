"""Which loss a stage descends."""

import math

from scorelab.theory.student import Averaged, Drawn, Maximization, PrintedHighNoise, PrintedLowNoise


def loss_of(study, plan, star, clean=None, noise=None):
    """The loss of a stage, per coordinate, as a function of mu: see the module.

    star (n,): mu*. clean, noise (starts, N, n): the samples and one draw of noise each; None for the population.
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
