"""A training as loggers keep it, and as a page shows it while it goes on."""
