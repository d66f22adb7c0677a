"""Laws: distributions with their densities, posteriors and projections in float64, and numbers with their errors."""
