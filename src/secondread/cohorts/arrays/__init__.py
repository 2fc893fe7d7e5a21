"""Images that are in memory already, and their labels, as a manifest."""
