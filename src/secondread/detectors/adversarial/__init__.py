"""Methods in which a generator plays against a critic."""
