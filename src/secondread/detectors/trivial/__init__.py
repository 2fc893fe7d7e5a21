"""The plainest methods. Three of them go along with every fit, and stand in every report and comparison."""

BASELINES = {"mean-intensity": "Mean intensity", "pixel-1nn": "Pixel 1-NN", "spectrum": "Spectrum"}
"""What every other method must beat on the data at hand: titles by name, in the order in which they stand."""


def column_of(name: str) -> str:
    """A baseline's name in tables of readings and in `metrics.json`."""
    return name.replace("-", "_")
