"""The exact speed of Glauber dynamics in the model of Sherrington and Kirkpatrick (SK), and a bound of it.

P(x) ~ exp(beta/2 <x, A x>) on {-1, 1}^n, A symmetric with N(0, 1/n) off the diagonal. CS 224 lecture 24, section
3, writes exp(-beta/2 <x, W x>): W and -W have one law.
"""

import numpy


def glauber_rate(target) -> float:
    """n times the spectral gap of Glauber dynamics, which draws one random spin anew given the others; exact, n <= 14.

    1/rate is the relaxation time in sweeps, of n such steps each. The rate is 1 for independent spins. target: an
    `scorelab.targets.Ising`. The transition matrix P is made symmetric, D^(1/2) P D^(-1/2) with D the stationary law,
    and its second largest eigenvalue is 1 - gap.
    """
    from scipy import sparse
    from scipy.sparse.linalg import eigsh

    n, sums = target.n, target.sums
    states = numpy.arange(2**n)
    log_weights = sums.log_weights.flatten().numpy()
    rows, columns, values, stay = [], [], [], numpy.ones(2**n)
    for spin in range(n):
        flipped = states ^ (1 << spin)
        gap = log_weights[flipped] - log_weights
        to_flipped = 1 / (1 + numpy.exp(-gap)) / n
        stay -= to_flipped
        rows.append(states)
        columns.append(flipped)
        values.append(to_flipped * numpy.exp(-0.5 * gap))  # sqrt(pi(x)/pi(x')) P(x, x')
    matrix = sparse.coo_matrix(
        (
            numpy.concatenate([*values, stay]),
            (numpy.concatenate([*rows, states]), numpy.concatenate([*columns, states])),
        )
    ).tocsr()
    start = numpy.sqrt(numpy.exp(log_weights - log_weights.max())) + 1e-3 * numpy.cos(states)
    largest = eigsh(matrix, k=2, which="LA", v0=start, return_eigenvectors=False)
    return float(n * (1 - largest.min()))


def guaranteed_rate(target) -> float:
    """A lower bound of `glauber_rate`, 1 - beta (lambda_max - lambda_min), which tends to 1 - 4 beta for SK.

    lambda are the eigenvalues of A without its diagonal. The law does not change when beta A becomes beta (A -
    lambda_min I), which is positive with the norm beta (lambda_max - lambda_min); a norm below 1 gives the bound
    (Eldan, Koehler and Zeitouni 2022, theorem 1.1). A bound <= 0 says nothing.
    """
    matrix = target.A.numpy() - numpy.diag(numpy.diag(target.A.numpy()))
    values = numpy.linalg.eigvalsh(matrix)
    return 1 - target.beta * float(values[-1] - values[0])


def mean_squared_overlap(target) -> float:
    """n E R^2 of a target that can be summed, exact: sum_ij E[x_i x_j]^2/n."""
    return float(target.correlations().square().sum()) / target.n
