"""Industrial inspection, on which papers of this field report beside medical sets."""
