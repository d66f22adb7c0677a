"""placeholder"""
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
class Sweeper(BasicSweeper):
    pass
