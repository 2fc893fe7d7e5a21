"""A file's image to the array that detectors see, the same at fit and at scoring, and back for maps."""
