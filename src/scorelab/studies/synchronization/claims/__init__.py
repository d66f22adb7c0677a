"""The verdicts on the spiked model."""
