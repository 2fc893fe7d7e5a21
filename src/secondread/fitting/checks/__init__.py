"""What can be known of a fit before an image is prepared, so that nobody waits for a refusal."""
