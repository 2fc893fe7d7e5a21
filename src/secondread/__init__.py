"""secondread: a second reader for medical images. Research use, not a medical device."""

__version__ = "0.1.0"
