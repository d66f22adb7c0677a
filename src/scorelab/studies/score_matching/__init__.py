"""Score matching: explicit, implicit, denoising, sliced."""
