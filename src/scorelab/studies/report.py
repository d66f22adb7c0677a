"""The short table at the end of a run."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from scorelab.runs import Run


def summary(run: Run):
    """Print the main numbers of a finished run, each beside what it is held against, and where the figures are."""
    metrics = run.metrics
    console = Console()
    if "projection" in metrics:
        console.print(_table(metrics))
    if "langevin" in metrics:
        console.print(_langevin(metrics["langevin"]))
    if "claims" in metrics:
        verdicts = metrics["claims"]["verdicts"]
        console.print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()), highlight=False)
        console.print(_short(run / "claims.md"), soft_wrap=True, highlight=False, markup=False)
    figures = sorted(path for path in (run / "figures").glob("*") if path.suffix != ".npz")
    for path in [*figures, run / "metrics.json"]:
        console.print(_short(path), soft_wrap=True, highlight=False, markup=False)


def _short(path: Path) -> str:
    """A path as seen from the working directory, if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _table(metrics: dict) -> Table:
    table = Table("", "measured", "± s.e.", "held against", box=None, pad_edge=False)
    projection, kl, posterior = metrics["projection"], metrics["path_kl"], metrics["posterior_mean"]
    weight, exact = projection["mode_weight"], projection["mode_weight_exact"]
    rows = [
        ("W1 of the projection", projection["w1"], projection["w1_standard_error"], "floor", projection["w1_floor"]),
        ("KS distance", projection["ks"], projection["ks_standard_error"], "floor", projection["ks_floor"]),
        ("mode weight", weight, projection["mode_weight_standard_error"], "exact", exact),
        ("path KL (nats)", kl["total"], kl["standard_error"], "floor", kl["parametric_floor"]),
    ]
    worst = max(range(len(posterior["t"])), key=lambda k: posterior["relative_error"][k])
    where = f"largest relative error, at t = {posterior['t'][worst]:.3g}"
    floor = posterior.get("relative_error_floor")
    error, spread = posterior["relative_error"][worst], posterior["relative_error_se"][worst]
    rows.append((where, error, spread, "floor", None if floor is None else floor[worst]))
    for name, value, error, against, reference in rows:
        held = "" if reference is None else f"{against} {reference:.4g}"
        table.add_row(name, f"{value:.4g}", f"{error:.2g}", held)
    return table


def _langevin(metrics: dict) -> Table:
    table = Table("", "evaluations", "mode weight", "± s.e.", "W1", "± s.e.", box=None, pad_edge=False)
    table.add_row("exact samples", "", *(f"{metrics[key]:.4g}" for key in ("weight_exact", "weight_floor", "w1_floor")))
    for name, method in metrics["methods"].items():
        keys = ("weight", "weight_standard_error", "w1", "w1_standard_error")
        table.add_row(name, str(method["evaluations"]), *(f"{method[key]:.4g}" for key in keys))
    return table
