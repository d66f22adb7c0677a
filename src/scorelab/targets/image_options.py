"""What `conf/target` may say of images."""

from typing import Annotated

from pydantic import Field, model_validator

from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import HERE
from scorelab.options import Fraction, Natural, NonNegative, Several
from scorelab.targets.options import TargetOptions

#: a path that is not empty
_Place = Annotated[str, Field(min_length=1)]
#: the keys that name files or folders
_PLACES = ("source", "labels", "held_out_source", "held_out_labels")


class ImageData(TargetOptions):
    """Grey images, as samples (1, H, W) with values in [-1, 1]; see `scorelab.targets.Images`.

    source: `digits` (the 1797 images of 8 x 8 pixels of scikit-learn), the path of an IDX file, as of MNIST, packed by
    gzip or not, or of a folder of PNG files, whose folders are the labels if it has any. labels: the IDX file with the
    labels; null takes the file of the usual name beside the images, if it is there. held_out: the share of the images
    that are not part of the law. held_out_source: a path of other images, held out in place of this share;
    held_out_labels: their labels. split_seed: the seed of the choice of the images that are held out, and of the order
    of the others, apart from the seed of the run. limit: the number of images of the law, the first ones in this order;
    null takes all. std: the width of the Gaussian kernel around each image; 0 is the law of the images themselves.
    """

    source: _Place
    labels: _Place | None
    held_out_source: _Place | None
    held_out_labels: _Place | None
    held_out: Fraction
    split_seed: Natural
    limit: Several | None
    std: NonNegative

    @property
    def reads(self) -> tuple[str, ...]:
        """The keys that name places; the images of scikit-learn are no place."""
        return _PLACES[1:] if self.source == "digits" else _PLACES

    @model_validator(mode="after")
    def _fitting(self):
        if self.source == "digits":
            for name in ("labels", "held_out_source"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} = {getattr(self, name)}: goes with a source of files, and not with digits"
                    )
        if self.held_out_labels is not None and self.held_out_source is None:
            raise ValueError(f"held_out_labels = {self.held_out_labels}: goes with held_out_source, which is null")
        return self

    def build(self):
        import torch

        from scorelab.targets.division import divided
        from scorelab.targets.images import Images, scaled

        given, top = self._given("source", "labels")
        other = None if self.held_out_source is None else self._given("held_out_source", "held_out_labels")[0]
        if other is not None:
            self._require_fit(other.images, given.images)
        classes = _classes(given, other)
        labels, other_labels = _places(given, classes), _places(other, classes)
        kept, held_out = divided(self, len(given.images), labels, other is not None, "source", "images")
        everything = torch.as_tensor(given.images)
        away, away_labels = None, None
        if other is not None:
            away, away_labels = scaled(other.images, top), other_labels
        elif len(held_out):
            away, away_labels = scaled(everything[held_out], top), None if labels is None else labels[held_out]
        labels = None if labels is None else labels[kept]
        return Images(scaled(everything[kept], top), labels, away, away_labels, classes, self.std)

    def _require_fit(self, other, images):
        """Raise ConfigError unless images that are held out are of the size of the others, and two at least."""
        size, needed = (" x ".join(map(str, each.shape[1:])) for each in (other, images))
        key = f"{HERE}.held_out_source = {self.held_out_source}"
        if size != needed:
            raise ConfigError(f"{key}: its images have {size} pixels, those of source {needed}")
        if len(other) < 2:
            raise ConfigError(f"{key}: has one image, and two at least are needed")

    def _given(self, source, labels):
        """The labelled images of a source, and their largest value. Raises ConfigError, which names the key."""
        from scorelab.targets.image_files import LabelledImages, read_images

        if source == "source" and self.source == "digits":
            from sklearn.datasets import load_digits

            digits = load_digits()
            return LabelledImages(digits.images.astype("uint8"), [str(label) for label in digits.target]), 16.0
        try:
            return read_images(getattr(self, source), getattr(self, labels)), 255.0
        except ScorelabError as error:
            own = getattr(self, labels)
            key = labels if own is not None and str(error).startswith(f"{own}:") else source
            raise ConfigError(f"{HERE}.{key} = {error}") from None


def _classes(*given) -> list[str]:
    """The names of all classes; numbers come first, in their order."""
    found = {label for each in given if each is not None for label in each.labels or ()}
    return sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def _places(given, classes):
    """The places of the labels among the classes, a tensor (count,); None without labels."""
    import torch

    if given is None or given.labels is None:
        return None
    place = {name: number for number, name in enumerate(classes)}
    return torch.tensor([place[label] for label in given.labels])
