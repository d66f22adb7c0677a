"""Jobs side by side by Ray: `hydra/launcher=ray`, on this machine or on a Ray cluster.

Hydra's own plugin for Ray cannot be installed beside the versions that scorelab needs, stops at the first process that
is lost, runs a lost job three times more, and leaves Ray running. This launcher does no more than to give each job to
Ray as a task, and to wait for all of them.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from importlib.util import find_spec

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from scorelab.errors import ConfigError, ScorelabError
from scorelab.options import show
from scorelab.stopping import heeded
from scorelab.workers import cpus

log = logging.getLogger("scorelab")

#: of Ray, unless the user has set it: it reports no usage. A job that asks for no GPU sees them all, and a job has the
#: priority of any process, as under the other launchers
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_worker_niceness": "0"}
#: bytes of Ray's store of objects, which here holds configurations alone
_STORE = 80 * 2**20


class RayLauncher(Launcher):
    """A launcher that gives jobs to Ray.

    n_jobs: jobs at a time on this machine; None for one a CPU. cpus: of a job; None shares those of this machine out
    among n_jobs, and is 1 on a cluster. gpus: of a job, may be a share such as 0.5; 0 hides none and counts none.
    address: of a Ray cluster that runs, as HOST:PORT or auto, which must see the directory of the sweep under the same
    path; None starts Ray on this machine, and ends it after the last job.
    """

    def __init__(self, n_jobs: int | None = None, cpus: int | None = None, gpus: float = 0, address: str | None = None):
        self.n_jobs, self.cpus, self.gpus, self.address = n_jobs, cpus, gpus, address

    def require(self):
        """Raise ConfigError for values that cannot be, and where Ray is not installed."""
        for name, value in (("n_jobs", self.n_jobs), ("cpus", self.cpus)):
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"hydra.launcher.{name} = {show(value)}: an integer >= 1 is needed, or null")
        if type(self.gpus) not in (int, float) or not 0 <= self.gpus < float("inf"):
            raise ConfigError(f"hydra.launcher.gpus = {show(self.gpus)}: a number >= 0 is needed")
        if self.address is not None and self.n_jobs is not None:
            raise ConfigError(f"hydra.launcher.n_jobs = {self.n_jobs}: is of this machine; a cluster has its own limit")
        if find_spec("ray") is None:
            raise ConfigError("hydra/launcher = ray: needs the package ray, as in pip install 'scorelab[ray]'")
        if self.address is None:
            self.n_jobs = self.n_jobs or max(cpus() // (self.cpus or 1), 1)

    def setup(self, *, hydra_context, task_function, config):
        """Keep what each job needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        """Run the jobs, wait for all of them, and return what they return. Raises ScorelabError at the end if the
        process of a job was lost."""
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        each = self.cpus or (1 if self.address else max(cpus() // self.n_jobs, 1))
        returns, lost = [], []
        with self._ray(ray, each):
            task = ray.remote(num_cpus=each, num_gpus=self.gpus, max_retries=0)(_one_job)
            jobs = []
            for number, words in enumerate(job_overrides, initial_job_idx):
                log.info("\t#%d : %s", number, " ".join(filter_overrides(words)))
                context = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
                jobs.append(task.remote(number, list(words), *context, os.getcwd()))
            for job in jobs:
                try:
                    returns.append(ray.get(job))
                except ray.exceptions.RayError as error:
                    lost.append(type(error).__name__)
        if lost:
            raise ScorelabError(f"Ray: {', '.join(sorted(set(lost)))}")
        return returns

    @contextlib.contextmanager
    def _ray(self, ray, each: int):
        """Ray, with room for n_jobs of so many CPUs; what was started here is ended. One that runs in this process
        already, as in a notebook, is used as it is."""
        if ray.is_initialized():
            yield
            return
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        given = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
        scratch = None
        if self.address is None:
            scratch = tempfile.mkdtemp(prefix="ray-")
            given |= {"num_cpus": self.n_jobs * each, "object_store_memory": _STORE, "_temp_dir": scratch}
        try:
            ray.init(address=self.address or "local", **given)
            yield
        finally:
            ray.shutdown()
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)


def _one_job(number, words, hydra_context, config, task_function, state, folder) -> JobReturn:
    """Run one job in a process of Ray, as Hydra's launchers do, in the working directory of the sweep."""
    with contextlib.chdir(folder), heeded(force=True):  # Ray heeds SIGTERM otherwise
        setup_globals()
        Singleton.set_state(state)
        config = hydra_context.config_loader.load_sweep_config(config, words)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"{config.hydra.job.name}_{number}", number
        HydraConfig.instance().set_config(config)
        return run_job(
            hydra_context=hydra_context,
            config=config,
            task_function=task_function,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
