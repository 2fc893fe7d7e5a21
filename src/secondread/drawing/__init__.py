"""What figures have in common, whoever draws them."""
