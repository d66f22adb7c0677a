"""Statements about noising: processes in continuous time in one module, the chain of DDPM in the other."""
