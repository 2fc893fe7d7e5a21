"""Autoencoders whose shape is not that of the shared backbone."""
