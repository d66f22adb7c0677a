"""What the jobs of a sweep are asked for: the words of a command line and of a file of jobs, one list for each job."""

import itertools
import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import read_yaml
from scorelab.lab.names import as_override
from scorelab.options import show

#: a number with an exponent, which YAML 1.1 takes for text without a point before it or a sign after it
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def read_jobs(path: Path) -> list[list[str]]:
    """Read the jobs of a YAML file, a list of mappings from keys to values; return each job as a list of overrides.

    Raises ConfigError if the file cannot be read, has no such list, or sets what belongs to the whole command.
    """
    try:
        content = read_yaml(path)
    except ScorelabError as error:
        raise ConfigError(f"sweep.jobs = {error}") from None
    if content is None and not path.is_file():
        raise ConfigError(f"sweep.jobs = {path}: no such file")
    if not isinstance(content, list) or not content or not all(isinstance(one, dict) and one for one in content):
        raise ConfigError(f"sweep.jobs = {path}: a list of jobs is needed, each a mapping such as {{training.N: 5000}}")
    jobs = [[f"{key}={as_override(_numbers(value))}" for key, value in one.items()] for one in content]
    for number, one in enumerate(jobs):
        where = f"sweep.jobs = {path}: job {number}"
        for override in parsed_words(where, one):
            _require_of_a_job(where, override)
    return jobs


def _numbers(value):
    """A value with numbers such as 1e-4, which are text for YAML 1.1, as the numbers that they are in option files."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _require_of_a_job(where: str, override) -> None:
    """Raise ConfigError for a parsed override of a file that no job can have."""
    shown = show(override.input_line)
    if belongs_to(override, {"hydra", "sweep", "extensions"}):
        raise ConfigError(f"{where} sets {shown}: hydra, sweep and extensions stand on the command line alone")
    if override.is_sweep_override():
        raise ConfigError(f"{where} sets {shown}: a job has one value for each key")
    value = override.value()
    if "." not in override.key_or_group and isinstance(value, str) and ".." in value.split("/"):
        raise ConfigError(f"{where} sets {shown}: the name of an option is needed")


def belongs_to(override, nodes: set[str]) -> bool:
    """Whether an override changes one of these nodes of the whole configuration, by its key or by its package."""
    key, package = (re.split(r"[./]", name or "") for name in (override.key_or_group, override.package))
    return bool(nodes & {key[0], *package})


def parsed_words(where: str, overrides: list[str]):
    """The overrides of a file, parsed. Raises ConfigError for one that is not in the grammar of the command line."""
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{where}: {one_line(error)}") from None


def products(parsed) -> list[list[str]]:
    """The overrides of each job: every combination of the values that parsed overrides sweep over, the last key first
    to change. Raises ConfigError for values that cannot be counted."""
    values = {}
    for override in parsed:
        key = override.get_key_element()
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(
                f"{show(override.input_line)}: values to choose from are needed, with commas between them"
            )
        swept = (
            override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
        )
        values[key] = [f"{key}={value}" for value in swept]
    return [list(one) for one in itertools.product(*values.values())]


def joined(number: int, listed: list[str], swept: list[str]) -> list[str]:
    """The words that a file has for a job, and those of the command line. Raises ConfigError if both set a key."""
    both = {one.split("=", 1)[0] for one in listed} & {one.lstrip("+").split("=", 1)[0] for one in swept}
    if both:
        raise ConfigError(f"sweep.jobs: job {number} and the command line both set {', '.join(sorted(both))}")
    return [*listed, *swept]
