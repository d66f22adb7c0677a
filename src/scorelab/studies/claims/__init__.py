"""Statements of the literature, put to the test. One module a stage; what is measured is in scorelab.claims."""

import importlib

from scorelab.errors import ConfigError
from scorelab.studies.base import Study


class Claims(Study):
    """Measure claims, and give each the verdict that its numbers allow. The keys `claims` of the configuration say
    which; target, denoiser, schedule, sampler and training play no part."""

    def require(self, config):
        """Raise ConfigError for a claim that there is not."""
        self.selected(config)

    def selected(self, config) -> list:
        """The claims that a configuration names."""
        from scorelab.claims.registry import every_claim, select

        options = config.general.claims
        if options is None:
            raise ConfigError("claims: its keys are needed, as study=claims brings them")
        if options.docs is not None and options.only:
            raise ConfigError(f"claims.docs = {options.docs}: the page has every claim; claims.only: [] goes with it")
        return select(every_claim(config.general.extensions), options.only)

    def listing(self, config):
        """With claims.list, a line for each claim."""
        if not config.general.claims.list:
            return None
        return "\n".join(f"{claim.id}  {claim.source}\n       {claim.statement}" for claim in self.selected(config))

    def run_stage(self, stage, context):
        """Do one stage; there is nothing to train or to sample."""
        if stage in ("analyse", "plot"):
            importlib.import_module(f"{__name__}.{stage}").run(self, context)
