"""Stochastic gradient descent, and the stochastic differential equations that stand for it."""
