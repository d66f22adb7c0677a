"""Two stages of gradient descent on the mean of two modes. One module a theme."""
