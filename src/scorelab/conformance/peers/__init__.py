"""Samplers and schedulers of other libraries as plain samplers; each module needs its library alone.

Each module has `named(kind, **options)`, of a class or function of its library and options as plain data: a plain
sampler, and the standard deviation of the noise that its samples keep. `scorelab` has rules of ours in the same form.
"""
