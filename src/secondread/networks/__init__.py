"""Encoders, decoders and image comparison: plain modules, no training."""
