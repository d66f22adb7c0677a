"""Laws: what a distribution knows of itself, in float64."""
