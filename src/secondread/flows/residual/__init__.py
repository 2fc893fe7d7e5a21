"""Residual flows: i-ResNet and its successor with an unbiased likelihood."""
