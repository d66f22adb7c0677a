"""Figures: functions from arrays to a matplotlib Figure, and the helpers that they share."""
