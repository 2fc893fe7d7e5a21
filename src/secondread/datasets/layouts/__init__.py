"""Layouts that several data sets have."""
