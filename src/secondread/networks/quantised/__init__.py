"""Images as codes of a codebook on two levels, and what makes such codes likely."""
