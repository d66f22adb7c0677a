"""The one entry point; `python run.py --help` shows its options."""

import hydra

from scorelab.lab import app
from scorelab.lab.hydra_internals import BASE


@hydra.main(config_path="conf", config_name="config", **BASE)
def main(config):
    """Give the configuration that Hydra composed to scorelab."""
    return app.job(config)


if __name__ == "__main__":
    app.main(main)
