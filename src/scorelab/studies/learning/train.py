"""Stage `train`: two_modes.csv and k_modes.csv, every descent."""

from scorelab.files import write_json
from scorelab.progress import Progress
from scorelab.studies.learning import k_modes, two_modes

#: what `analyse` may not change
GIVEN = {"regimes"}


def run(study, context):
    """Descend, and write what was descended beside it."""
    parts = {"two_modes": two_modes.jobs(study, context.seed), "k_modes": k_modes.jobs(study.modes, context.seed)}
    done = 0
    with Progress("descending", sum(map(len, parts.values())), "descents") as progress:
        for name, jobs in parts.items():
            rows = []
            for job in jobs:
                progress.update(done, name)
                rows += job()
                done += 1
            context.write_table(f"{name}.csv", rows)
        progress.update(done)
    write_json(context.run / "learning.json", study.model_dump(mode="json", exclude=GIVEN))
