"""Hydra imports packages below hydra_plugins before it composes; this one lets presets look up published numbers."""

from omegaconf import OmegaConf

from scorelab.reproduction.semester.published import published

OmegaConf.register_new_resolver("published", published, replace=True)
