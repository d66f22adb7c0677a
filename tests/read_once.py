"""Hydra reads every file of a configuration anew for each composition, and the command line composes twice a call; the
tests, which compose a thousand times, read a file once, compose once for the same words, and do both again when a file
has changed."""

import inspect
import os
import pickle
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import open_dict

#: what identifies a file and its state -> what Hydra made of it, pickled, as Hydra changes what it loads
KNOWN: dict[tuple, bytes] = {}
#: what identifies a composition -> the configuration, pickled
COMPOSED: dict[tuple, bytes] = {}
MODES = ("hydra.mode=RUN", "hydra.mode=MULTIRUN")
#: what Hydra does without this
READ, COMPOSE = ConfigRepository.load_config, ConfigLoaderImpl.load_configuration


def load_config(self, config_path):
    """As `ConfigRepository.load_config`."""
    source = self._find_object_source(config_path, ObjectType.CONFIG)
    scheme = None if source is None else source.scheme()
    if scheme == "file":
        state = _state(os.path.join(source.path, source._normalize_file_name(config_path)))
    elif scheme == "pkg":  # Hydra's own files
        state = ()
    else:
        return READ(self, config_path)
    key = (source.provider, source.path, config_path, *state)
    if key not in KNOWN:
        KNOWN[key] = pickle.dumps(READ(self, config_path))
    return pickle.loads(KNOWN[key])


def load_configuration(self, *given, **named):
    """As `ConfigLoaderImpl.load_configuration`, which the command line calls once for the mode and once for the run."""
    call = inspect.signature(COMPOSE).bind(self, *given, **named)
    call.apply_defaults()
    asked, words = dict(call.arguments), call.arguments["overrides"]
    if type(self.repository) is not ConfigRepository or any("hydra.searchpath" in word for word in words):
        return COMPOSE(self, *given, **named)  # from other places, or from files as they were
    *rest, last = words or [""]
    mode = last.partition("=")[2] if last in MODES else None  # the command line adds it to the same words
    words = rest if mode else words
    places = [(place.provider, place.path) for place in self.config_search_path.get_path()]
    folders = [place.removeprefix("file://") for _, place in places if not place.startswith(("pkg:", "structured:"))]
    files = [state for folder in folders for state in _files(folder)]
    offered = pickle.dumps(ConfigStore.instance().repo)
    key = (asked["config_name"], *words, None, *places, *files, JobRuntime.instance().get("name"), offered)
    if asked["validate_sweep_overrides"] and any(sign in word for word in words for sign in ",("):
        parsed = OverridesParser.create().parse_overrides(words)
        self.validate_sweep_overrides_legal(parsed, asked["run_mode"], asked["from_shell"])
    if key not in COMPOSED:
        call.arguments |= {"overrides": words, "run_mode": RunMode.RUN, "validate_sweep_overrides": False}
        try:
            COMPOSED[key] = pickle.dumps(COMPOSE(*call.args, **call.kwargs))
        except Exception as error:
            if "You must specify" in str(error):  # what a sweep may leave to its jobs
                return COMPOSE(self, *given, **named)
            raise
    found = pickle.loads(COMPOSED[key])
    with open_dict(found):
        found.hydra.runtime.cwd = os.getcwd()
        if mode:
            found.hydra.mode = mode
            found.hydra.overrides.hydra.append(last)
    return found


def _state(path):
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _files(folder):
    """The files of options below a folder, and the state of each."""
    return [(str(path), *_state(path)) for path in sorted(Path(folder).rglob("*.yaml"))]


def install():
    """Let every composition of this process read and compose through this module."""
    ConfigRepository.load_config = load_config
    ConfigLoaderImpl.load_configuration = load_configuration
