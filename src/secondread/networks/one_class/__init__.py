"""Networks of one-class methods."""
