"""The loss around the weights that an architecture has: lines, planes, noise."""
