"""Heads behind an encoder that is trained without labels."""
