"""What the stages of a study share: the run directory and the components that its configuration names."""

import logging
import math
import time
from functools import cached_property
from typing import get_args

import numpy
import torch

from scorelab import devices
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures.files import load_arrays, load_samples, load_table, save_arrays, save_figure
from scorelab.figures.own_style import left_out
from scorelab.files import made_from, remove, write_bytes, write_json
from scorelab.lab import ahead
from scorelab.lab.config import Config, Format
from scorelab.lab.denoiser_file import load_denoiser, save_denoiser
from scorelab.lab.runs import SECTION, Run, read_metrics
from scorelab.laws.estimate import flatten
from scorelab.randomness import default_stream, stream, stream_seed
from scorelab.samplers.ends import on_target
from scorelab.samplers.risk import computable, grid_of
from scorelab.studies.base import draw
from scorelab.workers import place

log = logging.getLogger("scorelab")

#: seconds between two states of a table that grows
_GROWS_EVERY = 1.0


class Context:
    """The components of a run, built when they are first needed, and its files.

    run: the run directory. config: its checked configuration. seed: the seed of the whole run. A
    component whose group the study does not use raises ConfigError.
    """

    def __init__(self, run: Run, config: Config):
        self.run, self.config, self.seed = run, config, config.general.seed
        #: what this process wrote for the stage that it does: tables and arrays by their names in the directory, and
        #: sections of metrics.json
        self.written: set[str] = set()
        self._grown: dict[str, float] = {}
        #: the `scorelab.lab.tracked.Tracked` of a run that is worked at
        self.tracked = None

    @cached_property
    def device(self):
        """Where the denoiser is trained and asked, the `torch.device` of the key `device`; an exact denoiser is on the
        CPU where the device has no float64. Targets, schedules and grids are on the CPU."""
        if self.config.study.only_cpu(self.config):
            return devices.CPU
        device = devices.resolve(self.config.general.device, place())
        exact = self.config.uses("denoiser") and self.config["denoiser"].cls.exact
        return devices.CPU if exact and devices.widest(device) != torch.float64 else device

    @cached_property
    def target(self):
        target = self.config["target"].build(generator=stream(self.seed, "target"))
        try:
            target.check_direction()
        except ValueError as error:
            raise ConfigError(f"target: {error}") from None
        return target

    @cached_property
    def schedule(self):
        """The clock; ends that are not given follow from the target. Raises ConfigError for a clock that
        cannot be followed in double precision."""
        with computable():
            return on_target(self.config["schedule"].build(), self.target, log.info)

    @cached_property
    def process(self):
        """The observation process, built on the target; None for the Gaussian channel of the schedule."""
        if self.config.other_process is None:
            return None
        generator = stream(self.seed, "process")
        return self.config["process"].build(n=self.target.n, target=self.target, generator=generator)

    @cached_property
    def sampling(self):
        """The job that samples."""
        if self.config.sampling is None:
            self.config["sampler"]  # raises the error that names the group
        return self.config.sampling

    @property
    def sampling_seed(self) -> int:
        """The seed of the samples."""
        own = self.sampling.seed
        return stream_seed(self.seed if own is None else own, "sampling")

    @property
    def sampler(self):
        """The rule of the job."""
        return self.sampling.rule

    @cached_property
    def angles(self):
        """The job's grid of angles, (steps + 1,), for the schedule, target and denoiser. Raises ConfigError if there
        is no such grid."""
        learned = self.schedule.grid.adapts_to == "learned"
        with computable():
            return grid_of(self.sampling, self.schedule, self.target, self.denoiser if learned else None)

    def plan(self):
        """Make what needs no denoiser: what is impossible is found before anything is trained, and the log says where
        sampling will start and stop."""
        if self.process is not None:
            exact = self.config["denoiser"].cls.exact
            why = self.process.lacks(self.target) if exact else self.process.lacks_learned(self.target)
            if why is not None:
                what = "" if exact else "a learned posterior mean of "
                what = f"{what}target {type(self.target).__name__}"
                raise ConfigError(f"process {self.config.other_process} cannot run with {what}: {why}")
        if not self.config.uses("target", "schedule"):
            return
        learned = self.schedule.grid.adapts_to == "learned"
        if self.config.sampling is not None and not learned:
            self.angles  # noqa: B018 (kept for the stages)
        with computable():
            self.config.study.plan(self)

    @cached_property
    def training(self):
        return self.config.options("training")

    def new_denoiser(self):
        """An untrained denoiser; its initial weights follow from the seed."""
        with default_stream(stream_seed(self.seed, "denoiser")):
            return self.config["denoiser"].build(n=self.target.n, target=self.target)

    def ahead(self, name: str):
        """What was computed for this run ahead of its turn, see `Study.ahead`, which is there once; or None."""
        return ahead.take(self.run, self.config, name)

    def keep_ahead(self, name: str, value):
        """Keep what is computed ahead of the turn of this run."""
        ahead.keep(self.run, self.config, name, value)

    # Files. ---------------------------------------------------------------------------------------------------------

    def save_denoiser(self, denoiser, name: str = "denoiser"):
        """Write NAME.safetensors with the configuration that rebuilds the denoiser."""
        save_denoiser(self.run / f"{name}.safetensors", denoiser, self.config)
        self.written.add(f"{name}.safetensors")

    def load_denoiser(self, name: str = "denoiser"):
        """The denoiser of NAME.safetensors, on the device of the run. Raises ScorelabError if the file is damaged or
        holds another network."""
        return devices.on(load_denoiser(self.run / f"{name}.safetensors", self.config).eval(), self.device)

    @cached_property
    def denoiser(self):
        """The trained denoiser of this run; see `load_denoiser`."""
        return self.load_denoiser()

    @cached_property
    def compared(self):
        """The same denoiser to be compared with exact numbers: on the CPU where the device has no float64."""
        if devices.widest(self.device) == torch.float64:
            return self.denoiser
        return load_denoiser(self.run / "denoiser.safetensors", self.config).eval()

    @cached_property
    def samples(self):
        """The samples, (count, *shape) float32, mapped from the file. Raises ScorelabError unless these are the
        samples that the configuration asks for, all finite."""
        return load_samples(self.run / "samples.npy", (self.sampling.count, *self.target.shape))

    def update_metrics(self, section: str, values: dict):
        """Replace one section of metrics.json.

        values: numbers, `Estimate`s and dictionaries of them. A number that was not measured goes into the section
        `not_measured`, dotted key -> reason.
        """
        path = self.run / "metrics.json"
        known = read_metrics(path) if path.is_file() else {}
        plain, missing = flatten(values, section)
        others = known.pop("not_measured", {})
        missing |= {key: why for key, why in others.items() if not key.startswith(f"{section}.")}
        write_json(path, {**known, section: plain} | ({"not_measured": missing} if missing else {}))
        self.written.add(SECTION + section)

    @property
    def metrics(self) -> dict:
        """What metrics.json holds so far."""
        return read_metrics(self.run / "metrics.json")

    def write_table(self, name: str, rows: list[dict]):
        """Write a CSV file, one row a dictionary."""
        import pandas

        write_bytes(self.run / name, pandas.DataFrame(rows).to_csv(index=False).encode())
        self.written.add(name)
        if self.tracked is not None:
            self.tracked.rows(name, rows)

    def grow_table(self, name: str, rows: list[dict]):
        """Write a table that is still to grow, so that its rows are there if the stage is stopped; every second at
        most, as the whole table is written. `write_table` writes it at the end."""
        now = time.monotonic()
        if rows and now - self._grown.get(name, -math.inf) >= _GROWS_EVERY:
            self.write_table(name, rows)
            self._grown[name] = now

    def read_table(self, name: str, texts=()) -> dict[str, numpy.ndarray]:
        """Read a CSV file: column name -> values. texts: the columns that may hold text.

        A column NAME_se of an earlier run is also NAME_standard_error. Raises ScorelabError for a table that is
        damaged or empty, and where a column is asked for that it does not have.
        """
        return load_table(self.run / name, texts)

    def save_arrays(self, figure: str, arrays: dict):
        """Write the arrays that a figure is drawn from, as figures/<figure>.npz."""
        save_arrays(self.run / "figures" / f"{figure}.npz", arrays)
        self.written.add(f"figures/{figure}.npz")

    def all_arrays(self) -> dict[str, dict[str, numpy.ndarray]]:
        """Figure name -> the arrays that the figure is drawn from. Raises ScorelabError for a file that is damaged."""
        return {path.stem: load_arrays(path) for path in self._files_of_arrays()}

    def _files_of_arrays(self):
        if (self.run / "figures").is_file():
            raise ScorelabError(f"{self.run / 'figures'}: is a file, where a folder is needed")
        return sorted((self.run / "figures").glob("[!.]*.npz"))

    def figure_names(self) -> list[str]:
        """The names of the arrays that the study declares a figure for."""
        study, names = type(self.config.study), []
        for path in self._files_of_arrays():
            kind = path.stem.partition("-")[0]
            if kind in study.figures:
                names.append(path.stem)
            else:
                log.info("figures/%s: not drawn, as %s declares no figure %s", path.name, study.__name__, kind)
        return names

    def figure(self, name: str):
        """The matplotlib Figure of arrays that are there, in the house's style."""
        study, path = type(self.config.study), self.run / "figures" / f"{name}.npz"
        arrays = load_arrays(path)
        if name.partition("-")[0] in study.complete:
            arrays.require_complete()
        with made_from(path, "cannot be drawn"):
            return draw(study, name, arrays, self.config.general.figures.style)

    def draw_figures(self):
        """Draw every figure whose arrays are there, and write it in the configured formats; files of other formats,
        which would no longer be what the arrays say, are removed."""
        wanted = self.config.general.figures
        for path in self._files_of_arrays():
            for extension in {*get_args(Format)} - {*wanted.formats}:
                remove(path.with_suffix(f".{extension}"))
        if not wanted.formats:
            log.info(
                "figures: none is drawn, as figures.formats is empty; stage=plot 'figures.formats=[png]' draws them"
            )
            return
        if wanted.style is not None and (keys := left_out(wanted.style)):
            log.info("figures.style: of no use here: %s", keys)
        for name in self.figure_names():
            figure = self.figure(name)
            for extension in wanted.formats:
                with made_from(self.run / "figures" / f"{name}.npz", "cannot be drawn"):
                    save_figure(figure, self.run / "figures" / f"{name}.{extension}", wanted.dpi, wanted.style)
