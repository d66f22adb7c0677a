"""What the parts of bench_sampling.py share: the samplers and grids of their rows, and one row of their tables."""

import itertools
import math
import statistics

import torch
from hydra import compose, initialize_config_dir

from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.lab.hydra_internals import BASE
from scorelab.metrics.projection import LawComparison, orthogonal_metrics, project
from scorelab.randomness import stream
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
    """Print a table of markdown."""
    print("| " + " | ".join(head) + " |\n| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(flush=True)


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
