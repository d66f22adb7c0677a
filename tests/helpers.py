"""What several test files share."""

import contextlib
import copy
import functools
import inspect
import io
import json
import logging
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from scorelab import cli
from scorelab.channel import mix
from scorelab.claims import Budget, judge
from scorelab.claims.registry import every_claim
from scorelab.lab.app import config_folder, plain
from scorelab.lab.hydra_internals import BASE
from scorelab.samplers import Sampling
from scorelab.targets import GaussianMixture

ROOT = Path(__file__).parents[1]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def composed(*overrides) -> dict:
    """The configuration of a command line as plain data, composed by Hydra and not yet checked."""
    return copy.deepcopy(_composed(*overrides))


@functools.cache
def _composed(*overrides) -> dict:
    with initialize_config_dir(str(config_folder()), **BASE):
        return plain(compose("config", overrides=list(overrides)))


def with_values(*overrides, groups=()) -> dict:
    """The default configuration, or that of overrides of groups, with overrides of values put into it; much faster than
    `composed`, which keeps what it composed of the groups."""
    config, parser = OmegaConf.create(composed(*groups)), OverridesParser.create()
    for override in map(parser.parse_override, overrides):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    return OmegaConf.to_container(config)


def run_py(*arguments, cwd, **environment):
    """The command line in a process of its own: status, output and errors, as `subprocess.run` returns them."""
    command = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    environment = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


#: calls run.py once for each list of arguments and prints, as JSON, what each call answered and had imported by then
CALLS = """
import contextlib, io, json, runpy, sys
sys.path.insert(0, sys.argv[1])
answers = []
for arguments in json.loads(sys.argv[2]):
    sys.argv = ["run.py", *arguments]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.path[0] + "/run.py", run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    heavy = {"torch", "torch._dynamo", "sympy", "matplotlib", "matplotlib.pyplot", "pandas", "scipy"}
    heavy = sorted(heavy & set(sys.modules))
    answers.append({"status": status, "out": out.getvalue(), "err": err.getvalue(), "imported": heavy})
print(json.dumps(answers))
"""


def answers_of(*calls, cwd, root=ROOT, **environment):
    """What run.py answers to one list of arguments after the other, all in one process: pairs of both.

    root: the folder of run.py and of its configuration. environment: variables of the process, beside those of ours.
    """
    command = [sys.executable, "-c", CALLS, str(root), json.dumps(calls)]
    environment = os.environ | environment
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return list(zip(calls, json.loads(done.stdout), strict=True))


def answer_here(*arguments, cwd) -> dict:
    """What run.py answers in the tests' own process, which spares the seconds that torch takes to start.

    Whatever Hydra changes in the process is put back. For what is of the start itself, take `answers_of`.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    loggers = [logging.getLogger(name) for name in (None, "scorelab", "hydra")]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    argv, environment, settings = sys.argv, dict(os.environ), HydraConfig.instance().cfg
    places, loud = [*sys.path], logging.raiseExceptions
    sys.argv = ["run.py", *map(str, arguments)]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv, HydraConfig.instance().cfg = argv, settings
        sys.path[:], logging.raiseExceptions = places, loud
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()
        for logger, (handlers, level) in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def blocks(name, language):
    """The blocks of code in a language on a page of the documentation."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def write_guide(folder) -> Path:
    """Write the folder my_lab, each file as a page of docs/extending shows it, and return its path."""
    shown = re.compile(r"`(my_lab/[\w./]+)`(?:, imported by `my_lab/__init__.py`)?:\n\n```\w+\n(.*?)```", re.DOTALL)
    pages = [ROOT / "docs" / "extending.md", *sorted((ROOT / "docs" / "extending").glob("*.md"))]
    for name, text in (pair for page in pages for pair in shown.findall(page.read_text())):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x") as file:  # a file is shown once
            file.write(text)
    lab = Path(folder) / "my_lab"
    (lab / "__init__.py").write_text("import my_lab.claims\nimport my_lab.study\n")
    return lab


def measure(name):
    """The verdict of a claim on a share of its draws."""
    return judge(every_claim()[name].measure(Budget(quick=True, seed=0, claim=name)))


#: section of metrics.json -> its keys that are times of the clock
TIMES = {"training": ("seconds", "samples_per_second"), "sampling": ("seconds",), "run": ("wall_seconds",)}


def without_times(metrics):
    """The numbers of a run that the same configuration gives again."""
    return {
        section: {key: value for key, value in values.items() if key not in TIMES.get(section, ())}
        for section, values in metrics.items()
    }


def copied(result, folder) -> Path:
    """The run directory of a shared result, copied below a folder of the test's own, where it may be changed."""
    return shutil.copytree(result.directory, folder / "copy")


def random_mixture(modes, n, std="unit", seed=0):
    """A mixture with random weights and means; `std`: unit, common (0.6 for all modes) or per_mode (0.5 to 1.5)."""
    draws = seeded(1000 * seed + 10 * modes + n)
    weights = 0.1 + torch.rand(modes, generator=draws, dtype=torch.float64)
    means = 1.5 * torch.randn(modes, n, generator=draws, dtype=torch.float64)
    per_mode = 0.5 + torch.rand(modes, generator=draws, dtype=torch.float64)
    return GaussianMixture(weights, means, {"unit": 1.0, "common": 0.6, "per_mode": per_mode}[std])


def noisy_states(target, angle, count, seed=0, dtype=torch.float64):
    """Exact draws of the noisy state at an angle, shape (count, n)."""
    draws = seeded(seed)
    clean = target.sample(count, draws, dtype)
    return mix(clean, torch.randn(clean.shape, generator=draws, dtype=dtype), angle)


def product_grid(low, high, step):
    """A grid of points (count, n) over a box, and the volume of its cells."""
    axes = [numpy.arange(first, last, step) for first, last in zip(low, high, strict=True)]
    points = numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return points, step ** len(axes)


def assert_close(actual, expected, rtol, atol=0.0, case=None):
    """Numbers and arrays are compared in double precision, tensors in their own, which must agree.

    case: what a failure names, for a comparison in a loop.
    """
    actual, expected = (
        value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=torch.float64)
        for value in (actual, expected)
    )
    message = None if case is None else (lambda text: f"{case}: {text}")
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, msg=message)


def legends_lie_beside(figure) -> bool:
    """Whether no legend of a figure lies on axes that show anything."""
    figure.draw_without_rendering()
    of_axes = [axes.get_legend() for axes in figure.axes]
    every = [legend.get_window_extent() for legend in (*figure.legends, *of_axes) if legend is not None]
    shown = [axes.get_window_extent() for axes in figure.axes if axes.axison]
    return bool(every) and not any(legend.overlaps(axes) for legend in every for axes in shown)


def refused(kind, function, *arguments) -> str:
    """The text of the error of a kind that a call raises; "not refused" if it raises none, which no error says."""
    try:
        function(*arguments)
    except kind as error:
        return str(error)
    return "not refused"


def standard_error(values) -> float:
    return float(values.std() / math.sqrt(len(values)))


def over(names, values):
    """As pytest.mark.parametrize, but all in one test; a failure names its case."""
    names = [names] if isinstance(names, str) else list(names)

    def decorate(test):
        signature = inspect.signature(test)
        others = [parameter for name, parameter in signature.parameters.items() if name not in names]

        @functools.wraps(test)
        def run(**given):
            for value in values:
                case = dict(zip(names, value if len(names) > 1 else [value], strict=True))
                try:
                    test(**case, **given)
                except Exception as error:
                    error.add_note(f"case: {case}")
                    raise

        run.__signature__ = signature.replace(parameters=others)
        return run

    return decorate


def job(rule, count=100, steps=10, batch_size=256, output="scaled"):
    """A small job that samples by a rule."""
    return Sampling(rule=rule, count=count, steps=steps, batch_size=batch_size, output=output)


def command(monkeypatch, capsys, *words):
    """What the command `scorelab` prints, and its exit status."""
    monkeypatch.setattr(sys, "argv", ["scorelab", *map(str, words)])
    try:
        cli.main()
        status = 0
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()
    return shown.out + shown.err, status
