"""Generators and critics, and what they are trained by."""
