"""The command line, as a user meets it."""

import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT, answers_of, run_py

#: what is wrong -> what the one line about it says
MISTAKES = {
    "target.p=1.2": "error: target.p = 1.2: allowed is a number > 0 and < 1",
    "training.Nn=3": "error: training.Nn: unknown key; did you mean N?",
    "denoiser=tahn": "error: denoiser = tahn: no such option; did you mean tanh? valid names: amp, exact,",
    "+experiment=fig02": "error: experiment = fig02: no such option; did you mean fig02_relu?",
    "run=gone sampler.eta=1": "error: sampler.eta: no key of the default option of sampler; name the run's own",
    "stage=plot": "run=DIR is needed",
    "hydra.run.dir=taken": "exists and is not empty",
    "target=null": "error: target=null: a group takes the name of one of its options",
    "seed=${missing.key}": "error: seed: Interpolation key 'missing.key' not found",
    "setting=2": "error: setting = 2: goes with a preset",
    "a=" + "[" * 2000 + "]" * 2000: "error: ",
}
#: what is asked for by those who only want an answer
ASKED = (["--help"], ["--cfg", "job"], ["-m", "sweep.dry_run=true", "seed=0,1"])


def test_the_main_job_ends_with_a_table_and_the_paths_of_the_figures(small, tmp_path):
    """It never imports pyplot, which would pick a backend and keep figures alive in a notebook or a sweep, nor the
    compiler of torch, which takes a second."""
    ((_, answer),) = answers_of([*small, "figures.formats=[png]", "hydra.run.dir=here"], cwd=tmp_path)
    assert answer["status"] == 0, answer["err"]
    for expected in ("W1 of the projection", "floor", "mode weight", "path KL", "figures/projection.png"):
        assert expected in answer["out"]
    assert (tmp_path / "here" / "metrics.json").is_file()
    assert "T = 99.3" in (tmp_path / "here" / "run.log").read_text()
    assert "matplotlib" in answer["imported"]
    assert not {"matplotlib.pyplot", "torch._dynamo", "sympy"} & set(answer["imported"])


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder, and what it heard, all in one process: the answers to mistakes, to those who only ask, and to a mistake
    in Hydra's own keys."""
    where = tmp_path_factory.mktemp("asked")
    (where / "taken").mkdir()
    (where / "taken" / "mine").write_text("mine")
    calls = [
        *(override.split() for override in MISTAKES),
        *ASKED,
        ["hydra.job_logging.root.level=NOPE", "hydra.run.dir=here"],
    ]
    return where, answers_of(*calls, cwd=where)


def test_a_mistake_gives_a_message_a_status_and_nothing_else(answered):
    where, answers = answered
    for overrides, answer in answers[: len(MISTAKES)]:
        override = " ".join(overrides)
        assert answer["status"] != 0, override
        assert answer["err"].count("\n") == 1, override
        assert MISTAKES[override] in answer["err"], override
        assert "Traceback" not in answer["err"], override
        assert not answer["imported"], override
    assert [path.name for path in where.iterdir()] == ["taken"]
    assert [path.name for path in (where / "taken").iterdir()] == ["mine"]


def test_what_only_answers_does_not_import_torch_and_leaves_no_directory(answered):
    where, answers = answered
    for arguments, answer in answers[len(MISTAKES) : -1]:
        assert (answer["status"], answer["imported"]) == (0, []), (arguments, answer["err"])
    assert [path.name for path in where.iterdir()] == ["taken"]


def test_a_mistake_in_hydras_own_keys_leaves_no_directory(answered):
    where, (*_, (_, answer)) = answered
    assert answer["status"] == 2
    assert answer["err"] == "error: ValueError: Unable to configure root logger (Unknown level: 'NOPE')\n"
    assert [path.name for path in where.iterdir()] == ["taken"]


def test_a_traceback_is_for_those_who_ask(tmp_path):
    done = run_py("target.p=1.2", cwd=tmp_path, HYDRA_FULL_ERROR="1")
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
