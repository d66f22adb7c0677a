"""Score matching: explicit and implicit, denoising, with probes for the divergence. One module a theme."""
