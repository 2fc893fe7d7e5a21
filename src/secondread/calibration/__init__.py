"""Calibration: raw scores become a score, a p-value and a decision, from normal images alone."""
