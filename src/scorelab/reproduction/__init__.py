"""The report of a reproduction: a directory of runs, read against the figures of the semester paper."""

from scorelab.reproduction.report import write_report

__all__ = ["write_report"]
