"""Stage `train`: it runs every descent and writes two_modes.csv and k_modes.csv."""

from scorelab.files import write_json
from scorelab.progress import Progress
from scorelab.studies.learning import k_modes, two_modes

#: keys of the study that no descent depends on, so that the stage `analyse` may change them
GIVEN = {"regimes"}


def run(study, context):
    """Run every descent, and write learning.json, the keys of the study that the descents depend on."""
    parts = {"two_modes": two_modes.jobs(study, context.seed), "k_modes": k_modes.jobs(study.modes, context.seed)}
    done = 0
    with Progress("descending", sum(map(len, parts.values())), "descents") as progress:
        for name, jobs in parts.items():
            rows = []
            for job in jobs:
                progress.update(done, name)
                rows += job()
                done += 1
                context.grow_table(f"{name}.csv", rows)
            context.write_table(f"{name}.csv", rows)
        progress.update(done)
    write_json(context.run / "learning.json", study.model_dump(mode="json", exclude=GIVEN))
