"""Statements of the literature, put to the test. `scorelab.claims` says what a claim is."""

from scorelab.errors import ConfigError
from scorelab.options import Count
from scorelab.studies.base import Study, Table


class Claims(Study):
    """Measure claims, and give each the verdict that its numbers allow. The configuration has the keys under `claims`.

    list: whether to list the claims and stop. only: ids or seeds of claims; an empty list stands for all claims.
    quick: whether a share of the draws is enough. jobs: number of processes, of one thread each; null for `threads`, or
    else one process for each core. docs: a folder that the page and its pictures are also written to, or null.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": ".plot"}
    figures = {"claim": "scorelab.figures.panels"}
    sections = ".numbers"
    keys = "claims"
    bookkeeping = ("list", "jobs", "docs")
    writes = ("docs",)

    list: bool
    only: list[str]
    quick: bool
    jobs: Count | None
    docs: str | None

    def require(self, config):
        """Raise ConfigError if `claims.only` names a claim that does not exist."""
        self.selected(config)

    def selected(self, config) -> list:
        """The claims that a configuration names. Raises ConfigError for docs with only some of the claims."""
        from scorelab.claims.registry import every_claim, select

        if self.docs is not None and self.only:
            raise ConfigError(f"claims.docs = {self.docs}: the page has every claim; claims.only: [] goes with it")
        return select(every_claim(config.general.extensions), self.only)

    def listing(self, config):
        """With claims.list, the claims with their sources and statements."""
        if not self.list:
            return None
        return "\n".join(f"{claim.id}  {claim.source}\n       {claim.statement}" for claim in self.selected(config))

    def closing(self, metrics):
        """The number of claims with each verdict."""
        verdicts = metrics["claims"]["verdicts"]
        return Table((), [], (", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()),))
