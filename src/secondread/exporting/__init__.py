"""Bundles leave the package: a detector's score as an ONNX graph."""
