"""The map of `networks.structural_similarity` in one compiled pass over two pictures."""
