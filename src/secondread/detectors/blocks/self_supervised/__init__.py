"""What self-supervised methods share: views of an image, and whether a representation has collapsed."""
