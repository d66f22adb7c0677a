"""Sampling: the evaluations that each sampler needs on each grid, the time of a step without the network, and memory.

    python scripts/bench_sampling.py [--parts evaluations corrected step memory] [--seeds 8] [--threads 1] [--quick]

evaluations   The fewest denoiser evaluations, among the counts in EVALUATIONS, with which the W1 of the projection of
              40000 samples is within 1.25 times the mean floor, there and at the next larger count. The target is
              two_modes in 128 dimensions, and the denoiser is exact. The coordinate along `a` then evolves by itself,
              like the same problem in one dimension, where the counts are searched with the mean of 64 to 8 seeds. The
              other coordinates are Gaussian, and the variance of their chain is exact. Rows that need few evaluations
              are then measured directly: 40000 samples in 128 dimensions for each of --seeds seeds.
corrected     The same direct measurement for the predictor-corrector, whose step depends on all dimensions, at a few
              counts.
step          The time of a step of 5000 samples in 128 dimensions without the forward passes of the paper's network
              (L = 3, m = 256), divided by the time of these passes, for scorelab and, if they are installed, diffusers
              and azula. All take turns, and the table gives medians.
memory        The peak resident memory for several numbers of steps; each number has its own process.
"""

import argparse
import itertools
import math
import resource
import statistics
import subprocess
import sys
import time

import torch
from hydra import compose, initialize_config_dir

from scorelab.denoisers import Denoiser, ExactDenoiser, OuterProduct
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.lab.hydra_internals import BASE
from scorelab.metrics.projection import LawComparison, orthogonal_metrics, project
from scorelab.randomness import default_stream, stream
from scorelab.samplers.loop import OUTPUTS, draw_samples, simulate
from scorelab.samplers.risk import exact_risk
from scorelab.targets import GaussianMixture

COUNT, DIMENSION = 40_000, 128
EVALUATIONS = (4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 100, 150, 200, 300)
#: rows that need more evaluations are not measured in 128 dimensions
FEW = 16
#: largest number of evaluations -> number of sets of samples on the line
SEEDS = {32: 64, 64: 16, 300: 8}
WITHIN = 1.25

SAMPLERS = {
    "euler_maruyama": ["sampler=euler_maruyama"],
    "ddpm_ancestral, beta": ["sampler=ddpm_ancestral", "sampler.variance=beta"],
    "ddim, eta = 0.5": ["sampler=ddim", "sampler.eta=0.5"],
    "dpm_solver_2m_sde": ["sampler=dpm_solver_2m_sde"],
    "dpm_solver_3m_sde": ["sampler=dpm_solver_3m_sde"],
    "ddim, eta = 0": ["sampler=ddim"],
    "flow_euler": ["sampler=flow_euler"],
    "heun": ["sampler=heun"],
    "dpm_solver_2m": ["sampler=dpm_solver_2m"],
    "dpm_solver_3m": ["sampler=dpm_solver_3m"],
}
#: the samplers that are tried on every schedule and every grid
FAST = ("dpm_solver_2m_sde", "dpm_solver_3m_sde", "heun", "dpm_solver_2m", "dpm_solver_3m")
NATIVE = {
    "reverse_sde": ["sampler=reverse_sde"],
    "exponential_integrator": ["sampler=exponential_integrator"],
    "flow_euler, native": ["sampler=flow_euler", "sampler.coordinate=native"],
    "heun, native": ["sampler=heun", "sampler.coordinate=native"],
    "annealed_langevin, repeats = 2": ["sampler=annealed_langevin", "sampler.repeats=2"],
}
GRIDS = {name: [f"schedule.grid={name}"] for name in ("native", "angle", "log_snr", "karras", "adaptive")}
GRIDS["log_snr, t_min = 1e-4"] = ["schedule.grid=log_snr", "schedule.t_min=1e-4"]
SCHEDULES = {name: [f"schedule={name}"] for name in ("ou", "vp", "ve", "edm", "ddpm")}
#: grids that end early and draw from the posterior
EARLY = {
    f"{grid}, T = {T}, t_min = {t_min:g}": [
        f"schedule.grid={grid}",
        f"schedule.T={T}",
        f"schedule.t_min={t_min}",
        "sampler.output=posterior_draw",
    ]
    for T, (grid, t_min) in itertools.product(
        (1, 3, 10), (("log_snr", 1e-3), ("log_snr", 1e-4), ("karras", 1e-3), ("adaptive", 1e-4))
    )
}


def table(head, rows):
    print("| " + " | ".join(head) + " |\n| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(flush=True)


# Evaluations. -------------------------------------------------------------------------------------------------------


class OnALine(Denoiser):
    """The exact posterior mean of the two modes, both of unit variance, in the one coordinate that tells them apart."""

    def __init__(self, target):
        super().__init__()
        (self.first, self.second), self.log_odds = target.means[:, 0].tolist(), float(target.weights.logit()[0])

    def forward(self, x, angle):
        sin, cos = math.sin(angle), math.cos(angle)
        apart, middle = self.first - self.second, 0.5 * (self.first + self.second)
        share = torch.sigmoid(self.log_odds + sin * apart * (x - sin * middle))
        return sin * x + cos**2 * (self.second + apart * share)


class Problem:
    """The target in 128 dimensions and on a line, with the comparison to its exact projection."""

    def __init__(self, count: int):
        self.count = count
        self.target = GaussianMixture.two_modes(n=DIMENSION)
        self.line = GaussianMixture.two_modes(a=[math.sqrt(DIMENSION)])
        self.unit = GaussianMixture([1.0], [[0.0]])
        self.comparison = LawComparison(self.target.projection(self.target.direction), count)
        self.floor, self.floor_deviation = self.comparison.floor(50, stream(0, "floor"))["w1"]
        self._risk, self._risks, self._flows = exact_risk(self.target), {}, {}

    def risk(self, angles):
        """The exact risk at the points of an adaptive grid; it is kept, as the points depend on the ends alone."""
        key = (float(angles[0]), float(angles[-1]), len(angles))
        if key not in self._risks:
            self._risks[key] = self._risk(angles)
        return self._risks[key]

    def mean_w1(self, sets) -> float:
        """The mean W1 of sets (seeds, count) of projections."""
        return statistics.mean(self.comparison.wasserstein_1(values) for values in sets)

    def mean_w1_of_flow(self, starts) -> float:
        """The mean W1 of the exact flow from starts (seeds, count); it is kept for each number of seeds."""
        if len(starts) not in self._flows:
            exact = self.comparison.law.quantile(torch.special.ndtr(starts.double()))
            self._flows[len(starts)] = self.mean_w1(exact)
        return self._flows[len(starts)]


class Row:
    """One sampler on one schedule."""

    def __init__(self, problem, overrides):
        with initialize_config_dir(str(config_folder()), **BASE):
            config = check(plain(compose("config", overrides=["denoiser=exact", *overrides])))
        self.problem, self.schedule = problem, config["schedule"].build()
        self.job = config.sampling.model_copy(update={"count": problem.count})

    def with_evaluations(self, evaluations: int):
        """The job with as many steps as these evaluations allow; None if they allow less than two steps."""
        steps = (evaluations - (self.job.output != "scaled")) // self.job.rule.evaluations
        return self.job.model_copy(update={"steps": steps}) if steps >= 2 else None

    def _end(self, job, denoiser, x, noise):
        angles = job.angles(self.schedule, self.problem.risk).tolist()
        end = simulate(job.rule, denoiser, angles, x * self.schedule.start_std, noise, schedule=self.schedule)
        return OUTPUTS[job.output](denoiser, end, angles[-1], noise)

    def mean_w1(self, job, seeds: int) -> float:
        """The mean over seeds of the W1 of the projection, computed by the problem on the line.

        If a rule draws no noise, its starts alone decide the sampling error. This error is measured on the exact flow
        from the same starts, which on a line is the increasing map from N(0, 1) to the target, and the floor takes its
        place.
        """
        problem, generator, draws = self.problem, stream(1, "line"), []

        def noise():
            draws.append(None)
            return torch.randn(seeds * problem.count, 1, generator=generator)

        start = noise()
        end = self._end(job, OnALine(problem.line), start.clone(), noise)
        found = problem.mean_w1(project(end, problem.line.direction).view(seeds, -1))
        if len(draws) <= 1 + 2 * (job.output == "posterior_draw"):
            found += problem.floor - problem.mean_w1_of_flow(start.view(seeds, -1))
        return found

    def close(self, job) -> bool:
        """Whether the mean W1 of many seeds is near the floor; if it is far from the floor, few seeds show it."""
        limit = WITHIN * self.problem.floor
        most = next(seeds for evaluations, seeds in SEEDS.items() if job.nfe <= evaluations)
        for seeds in (1, 4, most):
            error = 0.0 if seeds == most else self.problem.floor_deviation / math.sqrt(seeds)
            if self.mean_w1(job, seeds) > limit + 3 * error:
                return False
        return True

    def search(self) -> int | None:
        """The first count of evaluations that is close to the floor together with the next larger count; else None."""
        before = None
        for evaluations in EVALUATIONS:
            job = self.with_evaluations(evaluations)
            if job is None:
                continue
            close = self.close(job)
            if close and before is not None:
                return before
            before = evaluations if close else None
        return None

    def orthogonal(self, job) -> float:
        """The relative error of the variance of an orthogonal coordinate against its exact value at T.

        It has no sampling error: the chain of the coordinate is linear in its noise, and each of the samples here sees
        one draw alone.
        """
        angles = job.angles(self.schedule, self.problem.risk).tolist()
        unit = torch.eye(1 + job.steps * (job.nfe + 1), dtype=torch.float64)
        columns = iter(unit.unsqueeze(2))
        x = next(columns) * self.schedule.start_std
        denoiser = ExactDenoiser(self.problem.unit)
        end = simulate(job.rule, denoiser, angles, x, lambda: next(columns), schedule=self.schedule)
        excess = float(end.square().sum()) - 1  # exact states have variance 1, and x/sin(phi) has 1 + 1/T
        if job.output == "posterior_draw":  # m = sin x, and the posterior has the variance cos^2
            return math.sin(angles[-1]) ** 2 * excess
        return excess

    def measured(self, job, seeds: int):
        """In 128 dimensions: the mean of W1, its standard error, the mean relative error of the orthogonal variance."""
        problem, angles = self.problem, job.angles(self.schedule, self.problem.risk)
        law = problem.target.output_law(float(angles[-1]), job.output)
        distances, variances = [], []
        for seed in range(seeds):
            batches = draw_samples(
                job, self.schedule, ExactDenoiser(problem.target), DIMENSION, 100 + seed, angles=angles
            )
            samples = torch.cat(list(batches))
            distances.append(problem.comparison.wasserstein_1(project(samples, problem.target.direction)))
            orthogonal = orthogonal_metrics(samples, problem.target, law)["variance"]
            variances.append(orthogonal.value / orthogonal.exact_at_T - 1)
        error = statistics.stdev(distances) / math.sqrt(seeds) if seeds > 1 else math.nan
        return statistics.mean(distances), error, statistics.mean(variances)


def evaluations(arguments):
    problem = Problem(4000 if arguments.quick else COUNT)
    floor, fast = problem.floor, {name: SAMPLERS[name] for name in FAST}
    print(f"W1 floor of {problem.count} samples: mean {floor:.5f}, deviation {problem.floor_deviation:.5f}\n")
    tables = {
        "stochastic localization, output=scaled, T = 99.3": (SAMPLERS, GRIDS),
        "other schedules on their own grids, output=scaled": (fast | NATIVE, SCHEDULES),
        "stochastic localization, output=posterior_draw": (fast, EARLY),
    }
    if arguments.quick:
        few = {name: SAMPLERS[name] for name in FAST[:2]}
        tables = {title: (few, dict(list(columns.items())[2:4])) for title, (_, columns) in tables.items()}
    best = []
    for title, (samplers, columns) in tables.items():
        rows = []
        for name, overrides in samplers.items():
            cells = []
            for column, more in columns.items():
                row = Row(problem, [*overrides, *more])
                found = row.search()
                cells.append(f"> {EVALUATIONS[-1]}" if found is None else row.with_evaluations(found).nfe)
                if found is not None and found <= FEW:
                    best.append((found, name, column, row))
            rows.append((name, *cells))
            print(f"{title}: {rows[-1]}", file=sys.stderr, flush=True)
        print(f"Evaluations, {title}:\n")
        table(("sampler", *columns), rows)
    rows = []
    for found, name, column, row in sorted(best, key=lambda entry: entry[0]):
        job = row.with_evaluations(found)
        w1, error, variance = row.measured(job, arguments.seeds)
        exact = f"{row.orthogonal(job):+.2%}"
        rows.append((job.nfe, name, column, f"{w1 / floor:.2f} +- {error / floor:.2f}", f"{variance:+.2%}", exact))
        print(rows[-1], file=sys.stderr, flush=True)
    print(f"{arguments.seeds} sets of {problem.count} samples in {DIMENSION} dimensions:\n")
    head = ("evaluations", "sampler", "grid", "W1 over its floor", "orthogonal variance, error", "the chain's own")
    table(head, rows)


def corrected(arguments):
    """Measure the predictor-corrector, whose step depends on all dimensions, at given counts of evaluations."""
    problem, rows = Problem(4000 if arguments.quick else COUNT), []
    for predictor, count in itertools.product(("ancestral", "ddim"), (16,) if arguments.quick else (32, 64, 128)):
        overrides = ["sampler=predictor_corrector", f"sampler.predictor={predictor}", *GRIDS["log_snr"]]
        row = Row(problem, overrides)
        w1, error, variance = row.measured(row.with_evaluations(count), max(arguments.seeds // 2, 1))
        rows.append((predictor, count, f"{w1 / problem.floor:.2f} +- {error / problem.floor:.2f}", f"{variance:+.2%}"))
    print("predictor_corrector, one correction a step, snr = 0.1, stochastic localization, grid log_snr:\n")
    table(("predictor", "evaluations", "W1 over its floor", "orthogonal variance, error"), rows)


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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(arguments):
    all_steps = (2, 4) if arguments.quick else (10, 100, 1000)
    rows = []
    for name in ("scorelab dpm_solver_2m", "scorelab euler_maruyama", "scorelab reverse_sde"):
        peaks = []
        for steps in all_steps:
            command = [sys.executable, __file__, "--peak", name, str(steps), "--threads", str(torch.get_num_threads())]
            peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        rows.append((name, *(f"{peak:.0f}" for peak in peaks)))
    print("Peak resident memory in MiB of a run of 2048 samples in 128 dimensions, where one state has 1 MiB:\n")
    table(("rule", *(f"{steps} steps" for steps in all_steps)), rows)


PARTS = {"evaluations": evaluations, "corrected": corrected, "step": step_times, "memory": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=8, help="sets of samples measured in 128 dimensions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a smoke run with few samples; its numbers mean nothing")
    parser.add_argument("--peak", nargs=2, metavar=("RULE", "STEPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print(peak_memory(arguments.peak[0], int(arguments.peak[1])))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    for part in arguments.parts:
        started = time.perf_counter()
        PARTS[part](arguments)
        print(f"({part}: {time.perf_counter() - started:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
