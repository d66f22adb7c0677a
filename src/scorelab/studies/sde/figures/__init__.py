"""The figures: `orders`, the errors of the schemes against the step, and `ou`, paths of the OU process."""
