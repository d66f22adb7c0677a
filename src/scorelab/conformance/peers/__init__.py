"""Samplers and schedulers of other libraries as plain samplers; each module needs its library alone."""
