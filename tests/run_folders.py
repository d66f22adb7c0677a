"""Folders of small made-up runs, which take no time to make."""

import json
import os

_CONFIG = "target: {{_target_: scorelab.targets.TwoModes, p: {p}}}\nseed: {seed}\n"


class Folder:
    """A folder of runs that change; a file that is written gets a time of its own, as if time passed."""

    def __init__(self, path):
        self.path, self._time = path, 10**18

    def write(self, place, text):
        path = self.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._time += 10**9
        os.utime(path, ns=(self._time, self._time))

    def run(self, name, draws, state="done", numbers=("projection",)):
        self.write(f"{name}/config.yaml", _CONFIG.format(p=draws.random(), seed=draws.randrange(9)))
        if state == "done":
            metrics = {section: {"w1": draws.random(), "count": draws.randrange(100)} for section in numbers}
            self.write(f"{name}/metrics.json", json.dumps(metrics))
        overrides = [f"seed={draws.randrange(9)}"]
        self.write(f"{name}/status.json", json.dumps({"state": state, "overrides": overrides}))
