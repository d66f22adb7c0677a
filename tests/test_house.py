"""The structure of the package: every arrow runs down, and a subject is one folder."""

import ast
import functools
import re
from pathlib import Path

import scorelab

HOUSE = Path(scorelab.__file__).parent
ROOT = HOUSE.parents[1]


def floors():
    """Part -> its floor, counted from the ground, as docs/design.md draws them."""
    drawing = re.search(r"```house\n(.*?)```", (ROOT / "docs" / "design.md").read_text(), re.DOTALL)[1]
    rows = [re.split(r"\s{2,}", line)[0].split() for line in drawing.strip().splitlines()]
    return {part: number for number, row in enumerate(reversed(rows)) for part in row}


FLOOR = floors()


def modules():
    """Name of a module below scorelab -> its file."""
    found = {".".join(path.relative_to(HOUSE).with_suffix("").parts): path for path in HOUSE.rglob("*.py")}
    return {name.removesuffix(".__init__") or "__init__": path for name, path in found.items()}


def imports(path):
    """The modules below scorelab that a file imports, wherever in it, also for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "scorelab":
            base = node.module.removeprefix("scorelab").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in MODULES else base
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("scorelab.") for alias in node.names if "scorelab." in alias.name)


MODULES = modules()


@functools.cache
def arrows():
    """Name of a module -> the names of the modules that it imports."""
    return {name: {each for each in imports(path) if each} - {name} for name, path in MODULES.items()}


def part(name):
    return name.split(".")[0]


def test_the_drawing_has_every_part_of_the_package_and_no_other():
    parts = {part(name) for name in MODULES} - {"__init__"}
    assert parts == set(FLOOR)


def test_every_arrow_runs_down():
    for name, targets in arrows().items():
        if name == "__init__":  # scorelab itself names what it offers
            continue
        for target in targets:
            assert FLOOR[part(name)] >= FLOOR[part(target)], f"{name} imports {target}"


def test_no_study_imports_another():
    subjects = {path.parent.name for path in HOUSE.glob("studies/*/__init__.py")}
    for name, targets in arrows().items():
        own = name.split(".")
        if own[0] == "studies" and len(own) > 1 and own[1] in subjects:
            for target in targets:
                other = target.split(".")
                if other[0] == "studies" and len(other) > 1 and other[1] in subjects:
                    assert other[1] == own[1], f"{name} imports {target}"


def test_no_modules_import_each_other():
    state = {}

    def visit(name, path):
        if state.get(name) == "done":
            return
        assert name not in path, f"a circle: {' -> '.join([*path, name])}"
        for target in sorted(arrows().get(name, ())):
            visit(target, [*path, name])
        state[name] = "done"

    for name in sorted(arrows()):
        visit(name, [])


def test_nothing_outside_its_folder_names_a_study():
    """No file outside of studies/SUBJECT, but for the list of classes, names a subject or its configuration."""
    subjects = {path.parent.name for path in HOUSE.glob("studies/*/__init__.py")} - {"claims"}
    for name, targets in arrows().items():
        if part(name) in ("studies", "reproduction", "claims"):
            continue
        for target in targets:
            named = target.split(".")
            assert not (named[0] == "studies" and len(named) > 1 and named[1] in subjects), f"{name} imports {target}"


def test_no_file_is_longer_than_450_lines():
    for path in [*HOUSE.rglob("*.py"), *ROOT.glob("tests/*.py")]:
        assert len(path.read_text().splitlines()) <= 450, path
