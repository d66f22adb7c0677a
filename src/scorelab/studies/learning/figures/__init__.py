"""Figures of learning: one descent, the map of regimes, K modes."""
