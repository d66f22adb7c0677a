"""Stochastic localization: its two outputs, its measures, its time change."""
