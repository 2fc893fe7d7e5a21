"""Encoders that a fit has learned, read from its bundle."""
