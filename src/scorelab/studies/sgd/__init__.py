"""Stochastic gradient descent, and the stochastic differential equations that model it."""
