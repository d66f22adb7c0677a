"""Closed forms and quadratures that studies and claims share."""
