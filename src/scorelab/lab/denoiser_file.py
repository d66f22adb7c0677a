"""Trained denoisers as files: safetensors with the configuration that rebuilds them."""

import json
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.lab.config import Config, differences
from scorelab.nodes import component
from scorelab.randomness import default_stream, stream
from scorelab.tensorfile import load_state, read_tensors, write_tensors


def save_denoiser(path: Path, denoiser, config: Config):
    """Write the weights of a denoiser, with the part of the configuration that rebuilds it."""
    origin = {key: config.data[key] for key in ("denoiser", "target", "seed", "extensions")}
    write_tensors(path, denoiser.state_dict(), {"scorelab": json.dumps(origin)})


def load_denoiser(path: Path | str, expected: Config | None = None):
    """Rebuild a denoiser from its file.

    expected: the configuration that the file must belong to. Without it, `extensions` that the file names are not
    imported, so that a foreign file cannot choose what is imported. Raises ScorelabError for a file that is missing or
    truncated, that holds no denoiser or another network, or that belongs to another configuration.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    try:
        origin = json.loads(metadata["scorelab"])
        nodes = {group: origin[group] for group in ("target", "denoiser")}
        seed = int(origin["seed"])
    except (KeyError, TypeError, ValueError):
        raise ScorelabError(f"{path}: not a denoiser saved by scorelab") from None
    extensions = ()
    if expected is not None:
        extensions = expected.general.extensions
        changed = differences({group: expected.data[group] for group in nodes}, nodes)
        if changed:
            raise ScorelabError(f"{path}: of another configuration: {'; '.join(changed)}")
    target = component("target", nodes["target"], extensions).build(generator=stream(seed, "target"))
    with default_stream(0):  # for the initial weights, which the weights of the file replace
        denoiser = component("denoiser", nodes["denoiser"], extensions).build(
            n=target.n, target=target, pretrained=False
        )
    load_state(path, tensors, denoiser)
    return denoiser
