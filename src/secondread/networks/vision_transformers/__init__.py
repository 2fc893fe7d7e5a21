"""Vision transformers of the package `transformers`: what they are made of, and their files."""
