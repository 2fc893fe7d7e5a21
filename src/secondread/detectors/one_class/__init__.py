"""One-class methods that learn their network from nothing."""
