"""Makes the files beside it importable for the folders below."""
