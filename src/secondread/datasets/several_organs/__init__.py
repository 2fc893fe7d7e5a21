"""Several organs in one set."""
