"""The command that runs."""

import sys


def run(_, words):
    """Do what `python run.py` does."""
    import hydra

    from scorelab.lab import app
    from scorelab.lab.hydra_internals import BASE

    sys.argv = ["scorelab run", *words]
    app.main(hydra.main(config_path=str(app.config_folder()), config_name="config", **BASE)(app.job))
