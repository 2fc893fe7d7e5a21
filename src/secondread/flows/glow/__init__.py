"""Glow in two and three dimensions: one implementation by rank, with backpropagation that keeps little."""
