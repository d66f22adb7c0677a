"""What is left of a finished run, for Python: numbers, arrays, figures, samples."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scorelab.errors import ConfigError
from scorelab.lab import runs
from scorelab.lab.config import Config


@dataclass
class Result:
    """A finished run.

    directory: the run directory. metrics: the content of metrics.json. config: the checked configuration. arrays:
    figure name -> arrays that the figure is drawn from. figures: figure name -> matplotlib Figure. samples: (count, n)
    float32, read as needed. target: the `Target` of the run, built anew from its configuration. reads: whether it may
    be built of data outside of the directory, which the configuration names.
    """

    directory: Path
    metrics: dict = field(repr=False)
    config: Config = field(repr=False)
    reads: bool = field(default=True, repr=False)

    @cached_property
    def _context(self):
        from scorelab.lab.context import Context

        return Context(runs.Run(self.directory), self.config)

    @cached_property
    def arrays(self) -> dict:
        return self._context.all_arrays()

    @cached_property
    def figures(self) -> dict:
        """Figure name -> matplotlib Figure, for the figures that the study declares."""
        return dict(self._context.all_figures())

    @cached_property
    def samples(self):
        """The samples, (count, n) float32, mapped from the file."""
        return self._context.samples

    @cached_property
    def target(self):
        """The target of the run, with its exact answers. Raises ConfigError if the study uses none, and if the target
        is made of data outside of the directory that may not be read."""
        for key, value in () if self.reads else self.config["target"].places("reads"):
            where = f"a place outside of {self.directory}, which no file there chooses"
            raise ConfigError(f"{key} = {value}: {where}; scorelab.load(..., reads=True) allows it")
        return self._context.target
