"""The two networks of DRAEM: one rebuilds an image without its anomaly, the other says where it was."""
