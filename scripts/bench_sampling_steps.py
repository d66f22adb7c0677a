"""The parts `step` and `memory` of bench_sampling.py."""

import argparse
import itertools
import math
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from bench_sampling_rows import DIMENSION, NATIVE, SAMPLERS, Row, table

from scorelab.denoisers import Denoiser, OuterProduct
from scorelab.randomness import default_stream
from scorelab.samplers.loop import draw_samples

#: what is started for each number of memory
COMMAND = Path(__file__).with_name("bench_sampling.py")


# A step without the network. ----------------------------------------------------------------------------------------


class Timed(Denoiser):
    """A denoiser that adds up the seconds that it takes."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.seconds = denoiser, 0.0

    def forward(self, x, angle):
        started = time.perf_counter()
        result = self.denoiser(x, angle)
        self.seconds += time.perf_counter() - started
        return result


def paper_network(n: int = DIMENSION):
    """Algorithm 1 with tanh, L = 3, m = 256."""
    choice = {"activation": "tanh", "parametrization": "skip", "input": "raw", "zero_output": False}
    with default_stream(0):
        return OuterProduct(L=3, m=256, frequencies=21, **choice).build(n)


def our_loops(count, steps):
    """The loops of scorelab: name -> a function that makes `steps` steps with a denoiser."""

    def loop(row):
        job = row.job.model_copy(update={"steps": steps, "count": count})
        return lambda denoiser: list(draw_samples(job, row.schedule, denoiser, DIMENSION, seed=0))

    problem = argparse.Namespace(count=count)
    chosen = ("ddim, eta = 0", "dpm_solver_2m", "dpm_solver_3m", "heun", "euler_maruyama", "dpm_solver_2m_sde")
    rows = {name: Row(problem, SAMPLERS[name]) for name in chosen}
    rows |= {name: Row(problem, [*NATIVE[name], "schedule=ou"]) for name in ("flow_euler, native", "reverse_sde")}
    return {f"scorelab {name}": loop(row) for name, row in rows.items()}


def diffusers_loops(count, steps):
    """The loops of diffusers, as in `our_loops`."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    def loop(scheduler, **options):
        def drive(denoiser):
            scheduler.set_timesteps(steps)
            x = torch.randn(count, DIMENSION)
            for timestep in scheduler.timesteps:
                angle = math.asin(math.sqrt(float(scheduler.alphas_cumprod[timestep])))
                x = scheduler.step(denoiser(x, angle), timestep, x, return_dict=False, **options)[0]

        return drive

    common = {"prediction_type": "sample", "thresholding": False}
    ancestral = {"clip_sample": False, "timestep_spacing": "linspace", **common}
    return {
        "diffusers DDIMScheduler": loop(DDIMScheduler(**ancestral)),
        "diffusers DPMSolverMultistepScheduler": loop(DPMSolverMultistepScheduler(**common)),
        "diffusers DPMSolverMultistepScheduler, order 3": loop(DPMSolverMultistepScheduler(solver_order=3, **common)),
        "diffusers DDPMScheduler": loop(DDPMScheduler(**ancestral)),
        "diffusers DPMSolverMultistepScheduler, sde": loop(
            DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **common)
        ),
    }


def azula_loops(count, steps):
    """The loops of azula, with our network behind its interface; the time of the adapter counts as the network's."""
    from azula.noise import Schedule as TheirSchedule
    from azula.sample import DDIMSampler, DDPMSampler, EulerSampler, HeunSampler

    from scorelab.conformance.peers.azula_denoisers import InAzula

    class Turn(TheirSchedule):
        """alpha = sin(phi), sigma = cos(phi), phi from 1.47 to 0.1 for t from 0 to 1."""

        def __call__(self, t):
            angle = 1.47 - 1.37 * t
            return torch.sin(angle), torch.cos(angle)

    def loop(sampler, **options):
        return lambda denoiser: sampler(InAzula(denoiser, Turn()), steps=steps, silent=True, **options)(
            torch.randn(count, DIMENSION)
        )

    return {
        "azula DDIMSampler": loop(DDIMSampler),
        "azula EulerSampler": loop(EulerSampler),
        "azula HeunSampler": loop(HeunSampler),
        "azula DDPMSampler": loop(DDPMSampler),
    }


@torch.no_grad()
def step_times(arguments):
    """Time the steps of all loops in turns."""
    count, steps, rounds = (500, 5, 2) if arguments.quick else (5000, 20, 15)
    denoiser = Timed(paper_network())
    loops = our_loops(count, steps)
    for name, make in (("diffusers", diffusers_loops), ("azula", azula_loops)):
        try:
            loops |= make(count, steps)
        except ImportError:
            print(f"{name} is not installed: no rows.\n")
    beside, shares, forwards, draws = ({name: [] for name in loops} for _ in range(4))
    for turn in range(rounds + 1):
        for name, loop in loops.items():
            denoiser.seconds, started = 0.0, time.perf_counter()
            loop(denoiser)
            rest = time.perf_counter() - started - denoiser.seconds
            started = time.perf_counter()
            for _ in range(steps):
                torch.randn(count, DIMENSION)
            draw = time.perf_counter() - started
            if turn:  # the first is for warming up
                beside[name].append(1e3 * rest / steps)
                forwards[name].append(1e3 * denoiser.seconds / steps)
                shares[name].append(rest / denoiser.seconds)
                draws[name].append(1e3 * draw / steps)
    head = ("rule", "beside the network, ms a step", "its forward passes, ms a step", "ratio", "least ratio")
    rows = [
        (
            name,
            f"{statistics.median(beside[name]):.2f}",
            f"{statistics.median(forwards[name]):.1f}",
            f"{statistics.median(shares[name]):.1%}",
            f"{min(shares[name]):.1%}",
        )
        for name in loops
    ]
    table(head, rows)
    draw = statistics.median(itertools.chain(*draws.values()))
    print(f"One torch.randn({count}, {DIMENSION}) takes {draw:.2f} ms; a stochastic rule needs one per step.\n")


# Memory. ------------------------------------------------------------------------------------------------------------


def peak_memory(name: str, steps: int) -> float:
    """The peak memory, in MiB, of a run of one batch without trajectories; call it in a new process."""
    count = 2048
    loop, denoiser = our_loops(count, steps)[name], paper_network()
    loop(denoiser)
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says there begins with the peak of the process that started this one
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(arguments):
    """Measure the peak memory of runs of several lengths, each in a process of its own."""
    all_steps = (2, 4) if arguments.quick else (10, 100, 1000)
    rows = []
    for name in ("scorelab dpm_solver_2m", "scorelab euler_maruyama", "scorelab reverse_sde"):
        peaks = []
        for steps in all_steps:
            command = [
                sys.executable,
                str(COMMAND),
                "--peak",
                name,
                str(steps),
                "--threads",
                str(torch.get_num_threads()),
            ]
            peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        rows.append((name, *(f"{peak:.0f}" for peak in peaks)))
    print("Peak resident memory in MiB of a run of 2048 samples in 128 dimensions, where one state has 1 MiB:\n")
    table(("rule", *(f"{steps} steps" for steps in all_steps)), rows)
