"""Noising processes: stationary laws, transition kernels, the chain of DDPM."""
