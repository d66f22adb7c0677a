"""Somebody's file with samplers and denoisers: by the command `scorelab conformance`, and as tests of pytest."""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from helpers import ROOT, blocks

from scorelab.conformance.checking import Check

#: Heun's rule, as the page shows it
SAMPLER, *PASTED = blocks("docs/conformance.md", "python")
SEVERAL = (
    SAMPLER
    + """
from scorelab.conformance import declare
from scorelab.conformance.laws import mixture

sampler = declare(order=3, end_noise=1 / math.tan(END), steps=(8, 16, 32), only=("shape", "order", "grids"))(sampler)

@declare(tolerance=1e-6, count=100, only=["error", "inputs"])
def exact(x, angle):
    return mixture().posterior_mean(x, angle)
"""
)
QUICK = "--end-noise 0.0308 --steps 8,16,32"


@pytest.mark.parametrize("number", range(len(PASTED)))
def test_the_code_of_the_page_runs_as_it_is_pasted(number, tmp_path, monkeypatch):
    """Each block alone, beside my_sampler.py; of what it checks the first property is measured."""
    code = PASTED[number]
    for library in ("azula", "diffusers"):
        if f"import {library}" in code or f"from {library}" in code:
            pytest.importorskip(library)
    (tmp_path / "my_sampler.py").write_text(SAMPLER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_sampler", raising=False)
    report, seen = Check.report, []
    monkeypatch.setattr(Check, "report", lambda check, only=None: seen.append(report(check, "shape")) or seen[-1])
    exec(code, {"__name__": "pasted"})
    assert all(each.passed for each in seen), seen
    assert seen or "declare" in code


@pytest.fixture
def file(user):
    (user.folder / "mine.py").write_text(SAMPLER)
    return user


def test_a_file_is_checked_and_the_status_says_whether_it_passes(file):
    out = file.types(f"scorelab conformance mine.py --order 2 {QUICK} --only shape,order,limit --out found")
    assert "sampler: passes 3 of 3 properties" in out
    content = json.loads((file.folder / "found" / "conformance.json").read_text())
    assert (content["passed"], content["versions"]["scorelab"]) == (True, __import__("scorelab").__version__)
    assert (file.folder / "found" / "conformance.png").stat().st_size > 1000
    out = file.types(f"scorelab conformance mine.py:sampler --order 3 {QUICK} --only order", status=3)
    assert "FAIL order" in out
    (file.folder / "denoisers.py").write_text("def mean(x, angle):\n    return 0 * x\n")
    law = "--target target=two_modes target.n=3"
    out = file.types(f"scorelab conformance denoisers.py {law} --tolerance 0.1 --only shape,error --count 50", status=3)
    assert "mean: fails 1 of 2 properties: error" in out


def test_all_that_a_file_declares_is_checked_and_each_has_a_folder(user):
    (user.folder / "mine.py").write_text(SEVERAL)
    out = user.types("scorelab conformance mine.py --out found", status=3)
    assert "sampler:\nok   shape" in out
    assert "sampler: fails 1 of 2 properties: order\nexact:\nok   " in out
    assert out.endswith("exact: passes 2 of 2 properties\n")
    verdicts = [
        json.loads((user.folder / "found" / name / "conformance.json").read_text())["passed"]
        for name in ("sampler", "exact")
    ]
    assert verdicts == [False, True]
    out = user.types("scorelab conformance mine.py --order 2", status=1)
    assert out.startswith("error: exact: order is no option of a denoiser")


def test_what_cannot_be_checked_is_one_line(file):
    (file.folder / "two.py").write_text("def one(x, t): ...\ndef two(x, t): ...\n")
    (file.folder / "none.py").write_text("import math\n")
    (file.folder / "broken.py").write_text("x = 1\ny = x / 0\n")
    (file.folder / "three.py").write_text("def f(x, y, z): ...\n")
    says = {
        "gone.py": "gone.py: no such file",
        "mine.py:gone": "mine.py: has no gone",
        "two.py": "two.py: which of one, two? Name one as ",
        "none.py": "no function with the arguments",
        "broken.py": "broken.py, line 2: ZeroDivisionError: division by zero",
        "three.py:f": "it takes 3 arguments",
        "no.such.package:f": "no.such.package: ModuleNotFoundError: No module named 'no'",
        "mine.py --steps 8,9,10": "steps = [8, 9, 10]: three doubling numbers",
        "mine.py --order -1": "order = -1.0: a number > 0 is needed",
        "mine.py --order nan": "order = nan: a number > 0 is needed",
        "mine.py --count 50": "count = 50: an integer >= 100 is needed",
        "mine.py --only speed": "only = speed: allowed are shape",
        "mine.py --tolerance 1": "tolerance is no option of a sampler",
        "mine.py --convention eps,scaled,minutes": "convention = eps,scaled,minutes: time = minutes: allowed are",
        "mine.py --convention foo": "convention = foo: returns = foo: allowed are x0, eps, v, velocity, score",
        "mine.py --out mine.py": "error: mine.py",
    }
    for words, line in says.items():
        said = file.types(f"scorelab conformance {words}", status=1)
        assert line in said, said
        assert said.count("\n") == 0, said
    for words, line in {
        "--order two": "--order: invalid float value: 'two'",
        "--count 2.5": "--count: invalid int value: '2.5'",
        "--steps 8,x": "--steps: invalid N,N value: '8,x'",
    }.items():
        said = file.types(f"scorelab conformance mine.py {words}", status=2)
        assert said.splitlines() == [f"error: {line}; scorelab conformance --help says more"]
    assert {path.suffix for path in file.folder.iterdir()} <= {".py", ""}


def run_pytest(folder, *words):
    """pytest in a process of its own, with the plugin and no other: as where a wheel has its entry point."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    clean |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "scorelab.conformance.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *words], cwd=folder, env=clean, capture_output=True, text=True)


def test_each_property_of_each_declared_thing_is_a_test(tmp_path):
    (tmp_path / "mine.py").write_text(SEVERAL)
    (tmp_path / "test_other.py").write_text("def test_fails():\n    assert False\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "broken.py").write_text("x = 1 / 0\n")
    files = ("--scorelab", "mine.py", "--scorelab", "broken.py", "--continue-on-collection-errors")
    done = run_pytest(tmp_path, *files, "-v", "-rs")
    assert done.returncode == 1, done.stdout + done.stderr
    for line in (
        "mine.py::sampler::shape PASSED",
        "mine.py::sampler::order FAILED",
        "mine.py::sampler::grids SKIPPED",
        "mine.py::exact::error PASSED",
        "sampler fails order: order of mean and covariance on a Gaussian: ",
        "not measured: the sampler takes no angles",
        "broken.py, line 1: ZeroDivisionError: division by zero",
        "1 failed, 3 passed, 1 skipped, 1 error",
    ):
        assert line in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    done = run_pytest(tmp_path, "--scorelab", "gone.py")
    assert (done.returncode, done.stderr.strip()) == (4, "ERROR: --scorelab gone.py: no such Python file")


def test_the_plugin_is_an_entry_point_and_imports_nothing_heavy():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((_, module),) = project["entry-points"]["pytest11"].items()
    code = f"import sys, {module}; print({{'torch', 'numpy', 'hydra', 'pydantic'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
