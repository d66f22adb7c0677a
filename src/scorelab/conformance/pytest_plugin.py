"""The pytest plugin: `pytest --scorelab FILE.py` has a test for each property of what the file declares.

Nothing of torch is imported without the option.
"""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    """The option --scorelab."""
    parser.getgroup("scorelab").addoption(
        "--scorelab",
        action="append",
        default=[],
        metavar="FILE.py",
        help="hold the samplers and denoisers that a file declares against exact answers, a test for each property; "
        "may be given several times",
    )


def pytest_configure(config):
    """Collect the files of the option, and nothing else unless it is named."""
    files = config.getoption("scorelab")
    if not files:
        return
    for file in files:
        if not _path(config, file).is_file() or _path(config, file).suffix != ".py":
            raise pytest.UsageError(f"--scorelab {file}: no such Python file")
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    config.args = [*dict.fromkeys([*named, *(str(_path(config, file)) for file in files)])]


def pytest_pycollect_makemodule(module_path, parent):
    """The files of the option are collected by the plugin."""
    files = {_path(parent.config, file) for file in parent.config.getoption("scorelab")}
    return File.from_parent(parent, path=module_path) if module_path in files else None


def _path(config, file) -> Path:
    return (config.invocation_params.dir / file).resolve()


class File(pytest.File):
    """A file with samplers and denoisers."""

    def collect(self):
        """Everything that the file declares."""
        from scorelab.conformance.declared import found_in, load
        from scorelab.errors import ScorelabError

        try:
            for found in found_in(load(str(self.path))[0]):
                check, names = found.check()
                line = getattr(getattr(found.thing, "__code__", None), "co_firstlineno", 1) - 1
                yield Checked.from_parent(self, name=found.name, check=check, names=names, line=line)
        except ScorelabError as error:
            raise self.CollectError(str(error)) from None


class Checked(pytest.Collector):
    """A sampler or a denoiser; its properties share what they compute."""

    def __init__(self, *, check, names, line, **rest):
        super().__init__(**rest)
        self.check, self.names, self.line = check, names, line

    def collect(self):
        """A test for each property."""
        return [PropertyTest.from_parent(self, name=name) for name in self.names]


class PropertyTest(pytest.Item):
    """The test of one property."""

    def runtest(self):
        """Measure the property: False fails with what was measured, None skips with the reason."""
        found = self.parent.check.measure(self.name)
        self.user_properties.append(("measured", found.measured))
        if found.passed is None:
            raise pytest.skip.Exception(found.measured, _use_item_location=True)
        if not found.passed:
            raise NotConforming(found.measured)

    def repr_failure(self, excinfo):
        """The sentence alone; the traceback would show the plugin."""
        if excinfo.errisinstance(NotConforming):
            return f"{self.parent.name} fails {self.name}: {excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self):
        """Where the code under check is, and what the test is called."""
        return self.path, self.parent.line, f"{self.parent.name}::{self.name}"


class NotConforming(Exception):
    """A property that fails, and what was measured of it."""
