"""Hydra imports packages below hydra_plugins before it composes; this one lets presets look up published numbers."""

from scorelab.lab.hydra_internals import register_resolver
from scorelab.reproduction.semester.published import published

register_resolver("published", published)
