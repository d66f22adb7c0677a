"""Statements about two stages of gradient descent on the mean of two modes."""
