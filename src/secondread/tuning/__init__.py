"""Settings of a recipe searched on the development data, without a label and without a test row."""
