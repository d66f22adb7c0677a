"""A real Slurm of one node on this machine: munged, slurmctld and slurmd, all on the loopback address.

It needs root and Debian's packages slurm-wlm and munge. Everything that it writes is in one folder, and its ports and
its socket are its own, so that it stands beside any other Slurm. `with cluster(folder) as environment` starts it and
ends it; by hand, `python tests/slurm_cluster.py FOLDER` starts it and holds it until Ctrl-C.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NEEDED = ("munged", "mungekey", "slurmctld", "slurmd", "sinfo")
_CONFIGURATION = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=10
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """What keeps a Slurm from being started here; None if nothing does."""
    programs = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    if programs:
        return f"{', '.join(programs)}: not installed (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "only root can start the daemons"


@contextlib.contextmanager
def cluster(folder: Path):
    """The variables of the environment with which Slurm's commands find the Slurm that is started in a folder."""
    folder = Path(folder).absolute()
    folder.chmod(0o755)
    for name in ("munge", "controller", "node"):
        (folder / name).mkdir(mode=0o755, parents=True)
    host, ports = socket.gethostname().partition(".")[0], _free_ports(2)
    told = _CONFIGURATION.format(host=host, ports=ports, folder=folder, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(told.lstrip())
    variables = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    environment = os.environ | variables
    munge = folder / "munge"
    _call(["mungekey", "--create", f"--keyfile={munge / 'key'}"], environment)
    options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    started = []
    with open(folder / "daemons.log", "w") as log:
        commands = [["munged", "--foreground", "--force", *(f"--{key}={munge / at}" for key, at in options.items())]]
        commands += [["slurmctld", "-D", "-f", folder / "slurm.conf"], ["slurmd", "-D", "-f", folder / "slurm.conf"]]
        try:
            for command in commands:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
                time.sleep(1)
            _wait_for_the_node(environment)
            yield variables
        finally:
            subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
            _soon(lambda: not _answer(["squeue", "--noheader"], environment).strip())
            for daemon in reversed(started):
                daemon.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.wait(timeout=20)
                daemon.kill()
                daemon.wait()


def _path() -> str:
    return os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _call(command, environment):
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _answer(command, environment) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _soon(true, seconds=60) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.3)
    return true()


def _wait_for_the_node(environment):
    if not _soon(lambda: "idle" in _answer(["sinfo", "--noheader", "--format=%t"], environment)):
        raise RuntimeError(f"no node of Slurm is idle: {_answer(['sinfo'], environment)}")


if __name__ == "__main__":
    if (why := missing()) is not None:
        sys.exit(f"error: {why}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with cluster(Path(sys.argv[1])) as variables:
        print(f"export SLURM_CONF={variables['SLURM_CONF']}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(60)
