"""The one entry point; `python run.py --help` shows its options."""

import hydra

from scorelab.lab import app


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    """Give the configuration that Hydra composed to scorelab."""
    return app.job(config)


if __name__ == "__main__":
    app.main(main)
