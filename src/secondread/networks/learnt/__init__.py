"""Encoders that a fit has learnt, read from its bundle."""
