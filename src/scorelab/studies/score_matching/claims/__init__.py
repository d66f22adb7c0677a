"""Statements about score matching: implicit and sliced in one module, denoising in the other."""
