"""The DARTS space."""
