"""Stochastic differential equations: how accurate their discretizations are, path by path and in law."""
