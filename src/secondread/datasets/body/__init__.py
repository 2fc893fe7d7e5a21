"""Skin and breast."""
