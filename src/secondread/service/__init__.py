"""Studies come in, are read, and go back; people look at them in a browser."""
