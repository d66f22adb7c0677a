"""What the stages of a study share: the run directory and the components that its configuration names."""

from functools import cached_property

import numpy

from scorelab.config import Config
from scorelab.denoisers.files import load_denoiser, save_denoiser
from scorelab.errors import ScorelabError
from scorelab.figures import draw
from scorelab.figures.files import load_arrays, save_arrays, save_figure
from scorelab.files import read_json, write_bytes, write_json
from scorelab.randomness import default_stream, stream, stream_seed
from scorelab.runs import Run
from scorelab.samplers.risk import grid_of


class Context:
    """The components of a run, built when they are first needed, and its files.

    run: the run directory. config: its checked configuration. seed: that of the whole run.
    """

    def __init__(self, run: Run, config: Config):
        self.run, self.config, self.seed = run, config, config.general.seed

    @cached_property
    def target(self):
        """The target."""
        return self.config["target"].build(generator=stream(self.seed, "target"))

    @cached_property
    def schedule(self):
        """The schedule."""
        return self.config["schedule"].build()

    @cached_property
    def sampler(self):
        """The sampler."""
        return self.config["sampler"].build()

    @cached_property
    def angles(self):
        """The sampler's grid of angles, (steps + 1,), on this run's schedule, target and denoiser."""
        return grid_of(self.sampler, self.schedule, self.target, self.denoiser)

    @cached_property
    def training(self):
        """The training options."""
        return self.config.options("training")

    def new_denoiser(self):
        """An untrained denoiser; its initial weights follow from the seed."""
        with default_stream(stream_seed(self.seed, "denoiser")):
            return self.config["denoiser"].build(n=self.target.n, target=self.target)

    # Files. ---------------------------------------------------------------------------------------------------------

    def save_denoiser(self, denoiser):
        """Write denoiser.safetensors with the configuration that rebuilds it."""
        save_denoiser(self.run / "denoiser.safetensors", denoiser, self.config)

    @cached_property
    def denoiser(self):
        """The trained denoiser of this run. Raises ScorelabError for a file that is damaged or of another network."""
        return load_denoiser(self.run / "denoiser.safetensors", self.config).eval()

    @cached_property
    def samples(self):
        """The samples, (count, n) float32, mapped from the file."""
        try:
            return numpy.load(self.run / "samples.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise ScorelabError(f"{self.run / 'samples.npy'}: cannot be read ({error})") from None

    def update_metrics(self, section: str, values: dict):
        """Replace one section of metrics.json."""
        path = self.run / "metrics.json"
        known = read_json(path) if path.is_file() else {}
        write_json(path, {**known, section: values})

    @property
    def metrics(self) -> dict:
        """What metrics.json holds so far."""
        return read_json(self.run / "metrics.json")

    def write_table(self, name: str, rows: list[dict]):
        """Write a CSV file, one row a dictionary."""
        import pandas

        write_bytes(self.run / name, pandas.DataFrame(rows).to_csv(index=False).encode())

    def read_table(self, name: str) -> dict[str, numpy.ndarray]:
        """Read a CSV file: column name -> values."""
        import pandas

        table = pandas.read_csv(self.run / name)
        texts = {column: table[column].dtype.kind not in "biuf" for column in table}
        return {column: table[column].to_numpy(str if texts[column] else None) for column in table}

    def save_arrays(self, figure: str, arrays: dict):
        """Write the arrays that a figure is drawn from, as figures/<figure>.npz."""
        save_arrays(self.run / "figures" / f"{figure}.npz", arrays)

    def all_arrays(self) -> dict[str, dict[str, numpy.ndarray]]:
        """Figure name -> the arrays it is drawn from."""
        return {path.stem: load_arrays(path) for path in sorted((self.run / "figures").glob("*.npz"))}

    def draw_figures(self):
        """Draw every figure whose arrays are there, in the formats that are wanted."""
        wanted = self.config.general.figures
        for name, arrays in self.all_arrays().items():
            figure = draw(name, arrays)
            for extension in wanted.formats:
                save_figure(figure, self.run / "figures" / f"{name}.{extension}", wanted.dpi)
