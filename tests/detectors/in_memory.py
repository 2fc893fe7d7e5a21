"""Fits on tensors with the real loop: changed copies, second views and paces included."""

from secondread.training.data import ArraySource
from secondread.training.loop import train


def train_on(detector, cohorts, stages, directory, seed=0):
    """The log of a fit on cohorts of images, `[n, C, *size]` each."""
    sources = {name: ArraySource(images.numpy()) for name, images in cohorts.items()}
    named = {"device": "cpu", "precision": "float32", "progress": False}
    return train(detector, sources, stages, seed=seed, directory=directory, **named)
