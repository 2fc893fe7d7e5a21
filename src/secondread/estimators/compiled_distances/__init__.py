"""Distances under a Gaussian at each position, by code that reads each of the matrices once."""
