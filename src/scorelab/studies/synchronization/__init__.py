"""Spiked matrices: recovering signs from a noisy outer product."""
