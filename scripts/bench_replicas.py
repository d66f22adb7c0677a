"""What a run of R seeds spends on training, and what on sampling and measuring.

    python scripts/bench_replicas.py [OVERRIDE ...] [--replicas 1 8]

Each row is a whole run `replicas=R` of the configuration that the overrides ask for, without pictures, in a scratch
folder: the seconds of its trainings, the seconds of everything else from the first sample to metrics.json, and the
ratio of the two. The first run of a process also reads the libraries, so that a small one is made before.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import scorelab

WARM = ("target.n=4", "training.N=200", "training.epochs=1", "sampler.count=256", "study.path_kl_draws=20")


def measured(overrides, replicas: int, directory: Path) -> dict:
    """The seconds of a run, and of its trainings."""
    started = time.perf_counter()
    scorelab.run([*overrides, f"replicas={replicas}", "figures.formats=[]"], directory)
    seconds = time.perf_counter() - started
    places = [directory] if replicas == 1 else sorted((directory / "replicas").iterdir())
    each = [json.loads((place / "metrics.json").read_text()) for place in places]
    training = sum(metrics["training"]["seconds"] for metrics in each)
    return {"device": each[0]["run"]["device"], "training": training, "rest": seconds - training}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 8])
    parser.add_argument("overrides", nargs="*", help="of the configuration, as training.epochs=20")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replicas-") as scratch:
        measured([*arguments.overrides, *WARM], 2, Path(scratch, "warm"))
        rows = [measured(arguments.overrides, count, Path(scratch, str(count))) for count in arguments.replicas]
    print(f"{rows[0]['device']}; {' '.join(arguments.overrides) or 'the default job'}")
    print("| R | training (s) | sampling and measuring (s) | ratio |\n| --- | --- | --- | --- |")
    for count, row in zip(arguments.replicas, rows, strict=True):
        print(f"| {count} | {row['training']:.1f} | {row['rest']:.1f} | {row['rest'] / row['training']:.2f} |")


if __name__ == "__main__":
    main()
