"""Images as a target: the law of a finite set of them, with labels, and with images that are held out."""

import torch

from scorelab.targets.empirical import Empirical


class Images(Empirical):
    """The empirical law of N grey images (N, 1, H, W), with values in [-1, 1]; see `Empirical`.

    labels (N,): the classes of the images, integers from 0 on, or None. held_out (M, 1, H, W): other images of the same
    kind, which the law does not have, or None; held_out_labels (M,). classes: the names of the classes. std: the width
    of the kernel around each image, >= 0.

    Raises ValueError for images of another shape, and for labels that are not one for each image.
    """

    images = True

    def __init__(self, images, labels=None, held_out=None, held_out_labels=None, classes=(), std=0.0):
        for name, values in (("images", images), ("held_out", held_out)):
            if values is not None and (values.dim() != 4 or values.shape[1:] != (1, *images.shape[2:])):
                raise ValueError(f"{name} have shape {tuple(values.shape)}: (N, 1, H, W), of one size, is needed")
        super().__init__(images, std)
        self.held_out, self.classes = held_out, tuple(classes)
        self.labels = _classes("labels", labels, images)
        self.held_out_labels = _classes("held_out_labels", held_out_labels, held_out)


def _classes(name, labels, images):
    if labels is None:
        return None
    labels = torch.as_tensor(labels)
    if images is None or labels.shape != (len(images),):
        raise ValueError(f"{name} have shape {tuple(labels.shape)}: one for each image is needed")
    return labels


def scaled(values, top: float) -> torch.Tensor:
    """Images (N, H, W) with values from 0 to `top` as (N, 1, H, W) with values from -1 to 1, float32."""
    return torch.as_tensor(values).to(torch.float32).unsqueeze(1).mul_(2 / top).sub_(1)
