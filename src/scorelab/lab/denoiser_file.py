"""Trained denoisers as files: safetensors with the configuration that rebuilds them."""

import json
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.lab.config import Config, differences
from scorelab.nodes import component
from scorelab.randomness import default_stream, stream
from scorelab.tensorfile import load_state, read_tensors, require_types, write_tensors


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
        seed = origin["seed"]
        if type(seed) is not int or seed < 0:
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ScorelabError(f"{path}: not a denoiser saved by scorelab") from None
    extensions = ()
    if expected is not None:
        extensions = expected.general.extensions
        known = {key: expected.data[key] for key in (*nodes, "seed")}
        changed = differences(known, nodes | {"seed": seed})
        if changed:
            raise ScorelabError(f"{path}: of another configuration: {'; '.join(changed)}")
    law = component("target", nodes["target"], extensions)
    for key, value in law.places("reads") if expected is None else ():
        raise ScorelabError(f"{path}: {key} = {value}: a place outside of the file, which it does not choose")
    target = law.build(generator=stream(seed, "target"))
    with default_stream(0):  # for the initial weights, which the weights of the file replace
        denoiser = component("denoiser", nodes["denoiser"], extensions).build(
            n=target.n, target=target, pretrained=False
        )
    require_types(path, tensors, denoiser.state_dict())
    load_state(path, tensors, denoiser)
    return denoiser
