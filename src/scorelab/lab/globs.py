"""Options that a sweep names by a pattern of a folder, as in target=glob(v1/*)."""

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Glob


def in_folders(override, loader, parser):
    """The override with the options of folders that its pattern stands for; any other one as it is.

    Hydra's own patterns see the options beside a group's folders, and these alone do. loader: of Hydra's
    configurations. parser: of overrides.
    """
    pattern = override.value() if override.is_sweep_override() else None
    if not isinstance(pattern, Glob) or not any("/" in each for each in pattern.include):
        return override
    group = override.key_or_group
    folders = loader.get_group_options(group, ObjectType.GROUP)
    names = [f"{folder}/{name}" for folder in folders for name in loader.get_group_options(f"{group}/{folder}")]
    found = pattern.filter([*loader.get_group_options(group), *names])
    if not found:
        return override
    key, sign, _ = override.input_line.partition("=")
    return parser.parse_override(f"{key}{sign}{','.join(found)}")
