"""What `conf/target` may say of samples of the user's own."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import HERE
from scorelab.options import Fraction, Natural, NonNegative, Several
from scorelab.targets.options import TargetOptions

#: a path that is not empty
_Place = Annotated[str, Field(min_length=1)]


class SampleData(TargetOptions):
    """Samples (count, n) from a file; see `scorelab.targets.Samples`.

    path: an npy file, or a csv file with a sample in each row. held_out: the share of the samples that are not part of
    the law. held_out_path: a file of other samples, held out in place of this share. split_seed: the seed of the choice
    of the samples that are held out, and of the order of the others, apart from the seed of the run. limit: the number
    of samples of the law, the first ones in this order; null takes all. std: the width of the Gaussian kernel around
    each sample; 0 is the law of the samples themselves.
    """

    added: ClassVar = {"direction": None}
    reads: ClassVar = ("path", "held_out_path")

    path: _Place | None
    held_out: Fraction
    held_out_path: _Place | None
    split_seed: Natural
    limit: Several | None
    std: NonNegative

    @model_validator(mode="after")
    def _given(self):
        if self.path is None:
            raise ValueError("path = null: an .npy or a .csv file of samples is needed")
        return self

    def build(self):
        import torch

        from scorelab.targets.division import divided
        from scorelab.targets.samples import Samples

        given = self._read("path")
        other = None if self.held_out_path is None else self._read("held_out_path")
        if other is not None and other.shape[1] != given.shape[1]:
            key = f"{HERE}.held_out_path = {self.held_out_path}"
            raise ConfigError(f"{key}: its samples have {other.shape[1]} numbers, those of path {given.shape[1]}")
        kept, away = divided(self, len(given), None, other is not None, "path", "samples")
        if other is None and len(away):
            other = given[away]
        points = given[kept]
        if not bool((points != points[0]).any()):
            raise ConfigError(f"{HERE}.path = {self.path}: all samples are the same")
        return Samples(points, None if other is None else torch.as_tensor(other), self.std)

    def _read(self, key):
        """The samples of a file, a tensor. Raises ConfigError, which names the key."""
        import torch

        from scorelab.targets.sample_files import read_samples

        try:
            return torch.from_numpy(read_samples(getattr(self, key))).float()  # as networks compute
        except ScorelabError as error:
            raise ConfigError(f"{HERE}.{key} = {error}") from None
