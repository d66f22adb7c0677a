"""What Slurm says of jobs, read from programs that stand in for its own; tests/test_slurm.py has the real ones."""

import json

import pytest
import yaml
from conftest import SMALL
from helpers import ROOT, answer_here, refused

from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab import slurm
from scorelab.lab.jobs import tabulate
from scorelab.lab.runs import Run
from scorelab.lab.slurm import Request, SlurmLauncher
from scorelab.lab.slurm_queue import NAME, ask, record, submitted, waiting

#: of squeue: name, state, what `wait` returned (137 << 8, 140 << 8), reason
QUEUE = """7_0|COMPLETED|0|None|
7_1|RUNNING|0|None|
7_2|PENDING|0|Resources|
7_3|FAILED|35072|NonZeroExitCode|
7_4|FAILED|35840|NonZeroExitCode|
7_5|FAILED|256|NonZeroExitCode|
7_6|TIMEOUT|15|TimeLimit|
7_7|REQUEUED|0|None|
"""
ACCOUNTING = """8_0|OUT_OF_MEMORY|0:125
8_1|CANCELLED by 1000|0:15
8_2|FAILED|0:11
"""


def program(folder, name, says, status=0):
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}END\nexit {status}\n")
    path.chmod(0o755)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder for programs that are found before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    program(folder, "squeue", QUEUE)
    program(folder, "sacct", "", status=1)
    return folder


def test_what_slurm_knows_of_a_job_is_said_in_its_row(queue, tmp_path):
    program(queue, "sacct", ACCOUNTING)
    names = {number: f"7_{number}" for number in range(8)} | {8 + number: f"8_{number}" for number in range(4)}
    for number in names:
        (tmp_path / str(number)).mkdir()
        Run(tmp_path / str(number)).mark("interrupted")
    record(tmp_path, names)
    table = tabulate(tmp_path)
    told = dict(zip(table["job"].astype(int), table["error"], strict=True))
    ends = ["COMPLETED", "RUNNING", "PENDING (Resources)", "FAILED (SIGKILL)", "FAILED (SIGUSR2)"]
    ends += ["FAILED (exit status 1)", "TIMEOUT", "REQUEUED", "OUT_OF_MEMORY", "CANCELLED", "FAILED (SIGSEGV)"]
    assert told == {n: f"job {names[n]} of Slurm: {end}" for n, end in enumerate(ends)} | {
        11: "job 8_3 of Slurm, which does not know it any more"
    }
    assert sorted(waiting(tmp_path)) == [1, 2, 7]
    Run(tmp_path / "3").mark("failed", error="its own reason")
    assert dict(zip(table["job"], tabulate(tmp_path)["error"], strict=True))["3"] == "its own reason"


def test_a_queue_that_has_forgotten_or_does_not_answer_is_no_obstacle_to_a_table(queue, tmp_path):
    record(tmp_path, {0: "7_0"})
    (tmp_path / "0").mkdir()
    Run(tmp_path / "0").mark("interrupted")
    (queue / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n")
    assert ask(["7_0"]) == {}
    (queue / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    assert refused(ScorelabError, waiting, tmp_path) == "squeue: Unable to contact slurm controller"
    assert tabulate(tmp_path)["error"].isna().all()


def test_a_damaged_list_of_what_was_submitted_is_one_line(tmp_path):
    assert submitted(tmp_path) == {}
    for damaged in ([], {"a": {"slurm": "7"}}, {"0": "7"}, {"0": {"slurm": "7; rm"}}, {"0": {"slurm": 7}}):
        (tmp_path / NAME).write_text(json.dumps(damaged))
        assert f"{NAME}: " in refused(ScorelabError, submitted, tmp_path)
    (tmp_path / NAME).unlink()
    record(tmp_path, {1: "7_1", 0: "7_0"})
    record(tmp_path, {1: "9"})
    assert submitted(tmp_path) == {0: "7_0", 1: "9"}


def request(**changes):
    values = yaml.safe_load((ROOT / "conf" / "hydra" / "launcher" / "slurm.yaml").read_text())
    return {key: value for key, value in values.items() if key != "_target_"} | changes


def test_what_a_job_asks_for_is_checked_and_becomes_options_of_sbatch():
    made = Request(**request(cpus_per_task=3, gpus_per_node=1, setup=["module load cuda"])).of_submitit()
    assert (made["cpus_per_task"], made["gpus_per_node"], made["timeout_min"]) == (3, 1, 240)
    assert made["slurm_setup"] == ["export OMP_NUM_THREADS=3 MKL_NUM_THREADS=3", "module load cuda"]
    assert "slurm_partition" not in made
    assert made["slurm_additional_parameters"] == {"requeue": True}
    assert "gpus_per_node" not in Request(**request(gpus_per_node=1, gres="gpu:a100:1")).of_submitit()
    for key, value in (("timeout_min", 0), ("tasks_per_node", 1.5), ("mem_gb", -1), ("setup", "module load cuda")):
        assert f"hydra.launcher.{key} = " in refused(ConfigError, SlurmLauncher(**request(**{key: value})).require)
    late = SlurmLauncher(**request(timeout_min=2))
    assert refused(ConfigError, late.require) == "hydra.launcher.signal_delay_s = 120: less than the 2 min of a job"


def test_what_is_missing_for_slurm_is_one_line(tmp_path, monkeypatch, queue):
    monkeypatch.setenv("PATH", str(queue))  # it has squeue alone
    answer = answer_here("-m", *SMALL, "hydra/launcher=slurm", cwd=tmp_path)
    assert (answer["status"], answer["err"].count("\n")) == (2, 1), answer
    assert "no sbatch here" in answer["err"]
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    answer = answer_here("-m", *SMALL, "hydra/launcher=slurm", cwd=tmp_path)
    assert "needs hydra-submitit-launcher" in answer["err"]
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
