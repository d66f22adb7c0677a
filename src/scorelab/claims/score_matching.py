"""Score matching: explicit, implicit, denoising."""

import torch

from scorelab.claims import CORRECTED, Evidence, claim, equal


def printed_score_of_the_kernel(noisy, clean, sigma):
    """000_6c70dbc10a1c9c83.txt, section 4.1."""
    return (noisy - clean) / sigma**2


@claim(
    "S0-02",
    source="000_6c70dbc10a1c9c83.txt, section 4.1",
    statement="The score of the kernel q(x~|x) = N(x, sigma^2 I) is (x~ - x)/sigma^2.",
    corrected="It is -(x~ - x)/sigma^2.",
    recorded=CORRECTED,
    fault="misprint",
    finding="Autograd of the log density differs from the printed score by up to {printed:.3g}, from its negative by "
    "{opposite:.1g}: the sign is missing.",
)
def score_of_the_kernel(budget):
    """Autograd of the log density, in float64."""
    sigma, generator = 0.7, budget.stream()
    clean, noise = torch.randn(2, 8, 5, generator=generator, dtype=torch.float64)
    noisy = (clean + sigma * noise).requires_grad_()
    log_density = torch.distributions.Normal(clean, sigma).log_prob(noisy).sum()
    (score,) = torch.autograd.grad(log_density, noisy)
    form = printed_score_of_the_kernel(noisy.detach(), clean, sigma)
    printed, opposite = float((score - form).abs().max()), float((score + form).abs().max())
    return Evidence(
        stated=[equal("largest difference to (x~ - x)/sigma^2", printed, 0, tolerance=1e-12)],
        corrected=[equal("largest difference to -(x~ - x)/sigma^2", opposite, 0, tolerance=1e-12)],
        numbers={"printed": printed, "opposite": opposite},
    )
