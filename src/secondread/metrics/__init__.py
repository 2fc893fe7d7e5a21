"""Metrics: pure functions on arrays. Higher score = more abnormal; label True = abnormal; a score is
called positive when it is at or above the threshold."""
