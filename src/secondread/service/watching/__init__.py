"""Watching a service: metrics, health, drift of what was read, the monthly report, and who looks after it."""
