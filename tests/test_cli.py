"""The command line, as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_py(*arguments, cwd):
    command = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_main_job_ends_with_a_table_and_the_paths_of_the_figures(small, tmp_path):
    done = run_py(*small, "hydra.run.dir=here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for expected in ("W1 of the projection", "floor", "mode weight", "path KL", "figures/projection.png"):
        assert expected in done.stdout
    assert (tmp_path / "here" / "metrics.json").is_file()
    assert "T = 99.3" in (tmp_path / "here" / "run.log").read_text()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("target.p=1.2", "error: target.p = 1.2: allowed is a number > 0 and < 1"),
        ("training.Nn=3", "error: training.Nn: unknown key; did you mean N?"),
        ("denoiser=foo", "Available options in 'denoiser'"),
        ("stage=plot", "run=DIR is needed"),
        ("hydra.run.dir=taken", "exists and is not empty"),
    ],
)
def test_a_mistake_gives_a_message_a_status_and_nothing_else(override, says, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    done = run_py(override, cwd=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine"]


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["-m", "sweep.dry_run=true", "seed=0,1"]])
def test_what_only_answers_does_not_import_torch(arguments, tmp_path):
    probe = (
        "import sys, runpy\n"
        f"sys.argv = ['run.py', *{arguments!r}]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'torch', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_is_for_those_who_ask(tmp_path):
    environment = os.environ | {"HYDRA_FULL_ERROR": "1"}
    command = [sys.executable, str(ROOT / "run.py"), "target.p=1.2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "target.p = 1.2" in done.stderr


def test_an_interrupted_run_is_marked_and_says_how_to_go_on(small, tmp_path):
    small = [override for override in small if "epochs" not in override]
    command = [sys.executable, str(ROOT / "run.py"), *small, "training.epochs=100000", "hydra.run.dir=here"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a test run in the background is told to ignore the signal, and its children would be too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = tmp_path / "here" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "training.resume=" in output
    assert '"state": "interrupted"' in (tmp_path / "here" / "status.json").read_text()
    assert checkpoint.is_file()


def test_help_names_groups_and_options(tmp_path):
    text = run_py("--help", cwd=tmp_path).stdout
    for expected in (
        "denoiser: exact, mixture_aware, phase_aware, relu, student, tanh",
        "schedule: ddpm, edm, localization",
        "stage=plot run=DIR",
    ):
        assert expected in text
