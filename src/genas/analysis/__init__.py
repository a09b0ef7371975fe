"""Comparisons of many architectures: ranking studies, loss landscapes, sweeps of weights, warnings."""
