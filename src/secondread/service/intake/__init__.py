"""How studies come in."""
