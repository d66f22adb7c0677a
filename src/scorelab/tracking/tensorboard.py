"""Recording for TensorBoard: event files in the folder `tensorboard` of each run; `tensorboard --logdir` finds them."""

import yaml
from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from scorelab.tracking import Tracker


class Tracking(Tracker):
    """Scalars, the configuration as text, and the pictures."""

    def start(self, run, config):
        self.writer = SummaryWriter(log_dir=str(run.directory / "tensorboard"))
        text = yaml.safe_dump(dict(config), sort_keys=False)
        self.writer.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()))

    def record(self, step, values):
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)
        self.writer.flush()

    def end(self, state, metrics, figures):
        self.writer.add_text("state", state)
        for key, value in metrics.items():
            self.writer.add_scalar(f"metrics/{key}", value, 0)
        for path in figures:
            if path.suffix == ".png":
                self.writer.add_image(f"figures/{path.stem}", imread(path), dataformats="HWC")
        self.writer.close()
