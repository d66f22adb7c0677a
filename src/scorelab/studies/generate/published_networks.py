"""Runs of the published networks with their published budgets, kept as a table.

published_networks.csv beside this module has a row for each run: a network that was trained in setting 1 of
Visconti 2025, section 7.2, for 50 000 steps a network, with one seed, sampled up to one time T. `make
published-networks` trains the networks again and writes the table; it takes hours.
"""

from functools import cache
from pathlib import Path

import numpy

from scorelab.laws.estimate import mean_and_error

TABLE = Path(__file__).with_suffix(".csv")
#: the time that all networks are sampled up to, beside the time that the text gives for each
EQUAL_T = 99.33
#: names of the networks: the preset that trains them, and the overrides of the preset
RELU, TANH = "fig02_relu", "fig04_tanh"
BY_MODE = {"relu": "fig06_mixture_relu", "tanh": "fig06_mixture_tanh"}
BY_PHASE = {t: f"fig07_phase_aware denoiser.switches=[{t}]" for t in ("1.0", "2.0", "speciation")}
MANY_SAMPLES = "fig02_relu training.N=50000 training.epochs=50"
UNIT_INPUT = "fig02_relu denoiser.input=angle"


@cache
def table():
    """The table, a pandas DataFrame indexed by network and seed.

    Beside the columns of the file it has `miss`, the distance of the mode weight from the exact one, and `log_kl`, the
    logarithm of the path KL.
    """
    import pandas

    rows = pandas.read_csv(TABLE, comment="#", index_col=["network", "seed"]).sort_index()
    miss = (rows["mode_weight"] - rows["mode_weight_exact"]).abs()
    return rows.assign(miss=miss, log_kl=numpy.log(rows["path_kl"]))


class Runs:
    """The runs of one network, one for each seed, up to one time T.

    equal: whether the runs up to `EQUAL_T` are taken; otherwise they are the runs up to the time of the text. Two
    networks with the same seed were trained on the same samples.
    """

    def __init__(self, network: str, equal: bool = False):
        rows = table().loc[network]
        at_equal = numpy.isclose(rows["T"], EQUAL_T, rtol=1e-3)
        wanted = at_equal if equal or at_equal.all() else ~at_equal
        self.rows = rows[wanted]

    def values(self, column: str):
        """A number for each seed, shape (seeds,)."""
        return self.rows[column].to_numpy(float)

    def mean(self, column: str) -> tuple[float, float]:
        """The mean over seeds and its standard error."""
        return mean_and_error(self.values(column))

    @property
    def errors(self):
        """The relative error of the posterior mean at the twelve times of figure 3, shape (seeds, 12)."""
        return self.rows[[name for name in self.rows if name.startswith("error_")]].to_numpy(float)
