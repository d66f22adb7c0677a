"""Figures: functions from arrays to a matplotlib Figure, and what all of them share."""
