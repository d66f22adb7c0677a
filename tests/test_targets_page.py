"""docs/targets.md says what each target can, and the targets say the same."""

import itertools

from helpers import ROOT, blocks, composed, seeded

from scorelab.lab.config import check
from scorelab.targets import PlaneDensity

PAGE = (ROOT / "docs" / "targets.md").read_text()
#: heading of a column -> the capability
COLUMNS = {
    "posterior mean": "posterior_mean",
    "its variance": "posterior_variance",
    "density": "density",
    "score": "score",
    "projection": "projection",
    "with noise": "noisy_projection",
    "modes": "modes",
    "Bayes risk": "bayes_risk",
    "covariance": "covariance",
    "law at T": "output_law",
    "held-out data": "held_out",
}
COMPANIONS = {
    "samples": [f"target.path={ROOT / 'tests' / 'data' / 'samples.csv'}"],
    "mixture, any covariance": ["target.covariances=[1.0,{std: 1.0, factors: [{norm: 3.0}]},2.0]"],
    "density, checkerboard": ["target.shape=checkerboard"],
    "density, own": [
        *("extensions=[own_densities]", "target.shape=own"),
        *("target.function=own_densities.three", "target.box=[-4,4]"),
    ],
}


def table():
    """Name of a target -> heading of a column -> its cell."""
    lines = itertools.dropwhile(lambda line: not line.startswith("| target | posterior mean"), PAGE.splitlines())
    lines = itertools.takewhile(lambda line: line.startswith("|"), lines)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_the_table_of_capabilities_is_what_the_targets_say():
    found = table()
    names = {path.stem for path in (ROOT / "conf" / "target").glob("*.yaml")}
    assert names == {name.partition(",")[0] for name in found}
    for name, row in found.items():
        assert list(row) == list(COLUMNS)
        words = [f"target={name.partition(',')[0]}", *COMPANIONS.get(name, ())]
        target = check(composed(*words))["target"].build(generator=seeded(0))
        for heading, capability in COLUMNS.items():
            # a number that is measured on draws, in the place of one that is known, is marked
            cell = "yes" if target.gives(capability) else "measured" if target.can(capability) else "no"
            assert row[heading] == (cell if target.can(capability) else "no"), (name, heading)


def test_the_page_names_every_key_of_every_target():
    for path in (ROOT / "conf" / "target").glob("*.yaml"):
        if path.stem not in (
            "images",
            "ising",
            "ising_small",
            "spiked",
            "z2_synchronization",
        ):  # which have their pages
            keys = [line.partition(":")[0] for line in path.read_text().splitlines() if line[:1].isalpha()]
            for key in keys:
                assert f"`{key}`" in PAGE or f"`target.{key}`" in PAGE, (path.stem, key)


def test_the_function_of_the_page_is_a_density():
    namespace = {}
    exec(blocks("docs/targets.md", "python")[0], namespace)
    assert PlaneDensity(namespace["banana"], -6, 6).can("score", "bayes_risk")
