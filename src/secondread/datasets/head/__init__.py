"""Brain MR."""
