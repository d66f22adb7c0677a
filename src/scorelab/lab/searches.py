"""Which directories a sweep that optimises began in, and what it was asked for there."""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import open_dict, read_write

from scorelab.errors import ScorelabError
from scorelab.files import read_json
from scorelab.lab.space import Search


def saved_search(directory: Path) -> tuple[Search, list[str]] | None:
    """The options of a sweep that optimises and the overrides that it was asked for; None for any other directory.

    Raises ScorelabError where sweep.json has something else in their place.
    """
    path = directory / "sweep.json"
    saved = read_json(path) if path.is_file() else None
    node = saved.get("optimise") if isinstance(saved, dict) else None
    if node is None:
        return None
    words = node.pop("words", None) if isinstance(node, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or not node.get("objective"):
        raise ScorelabError(f"{path}: optimise: has no words or no objective")
    search = Search.of(node, f"{path}: optimise")
    return search.of_numbers(search.objective), words


def keep_sweeper(config) -> None:
    """Let a composed configuration with `sweep.resume=DIR` name the sweeper that optimises, if this sweep began in DIR
    and the command line names no sweeper."""
    resume, sweepers = config.sweep.resume, ("hydra/sweeper=", "hydra.sweeper")
    if resume is None or any(str(word).lstrip("+").startswith(sweepers) for word in config.hydra.overrides.hydra):
        return
    if saved_search(Path(resume)) is not None:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.hydra.append("hydra/sweeper=optimise")
            config.hydra.runtime.choices["hydra/sweeper"] = "optimise"
            config.hydra.sweeper = ConfigStore.instance().load("hydra/sweeper/optimise.yaml").node
