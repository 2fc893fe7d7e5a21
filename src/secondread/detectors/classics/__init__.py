"""Outlier models of other libraries on images."""
