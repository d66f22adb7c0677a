"""Statements about power iteration, EM and mixtures."""
