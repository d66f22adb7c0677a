"""The contract of a study."""

import abc

from scorelab.options import Options


class Study(Options):
    """What a run does, in the stages train, sample, analyse, plot.

    Each stage reads what the stages before it left in the run directory and nothing else, so that it can be done again
    on its own.
    """

    def require(self, config) -> None:
        """Raise ConfigError if the study cannot run with the rest of a checked configuration."""

    def listing(self, config) -> str | None:
        """What to print instead of running, for a checked configuration that asks for a list; None to run."""

    @abc.abstractmethod
    def run_stage(self, stage: str, context) -> None:
        """Do one stage; `context` is a `scorelab.studies.context.Context`."""
