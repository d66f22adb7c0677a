"""A study that disturbs its sweep: jobs that fail, end their process, or wait. A test imports it as an extension."""

import logging
import os
import signal
import time
from pathlib import Path

from scorelab.lab.runs import Run
from scorelab.studies import Generate


class Disturbed(Generate):
    """The main job. DISTURB of the environment says what jobs do after their training, by their seeds, as in
    "1:raise 2:kill"; those that wait do so as long as the file WAITS is there."""

    def run_stage(self, stage, context):
        super().run_stage(stage, context)
        what = dict(word.split(":") for word in os.environ.get("DISTURB", "").split())
        what = what.get(str(context.seed)) if stage == "train" else None
        if what == "raise":
            raise ValueError("this job would print tracebacks" if logging.raiseExceptions else "this job fails")
        if what == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if what == "kill":
            earlier = [Run(context.run.path.parent / str(number)) for number in range(context.seed)]
            while any(run.state in ("pending", "running") for run in earlier):  # else they may be lost as well
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        while what == "wait" and Path(os.environ["WAITS"]).exists():
            time.sleep(0.05)
