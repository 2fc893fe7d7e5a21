"""The base of everything that a person may set in a recipe, and how large its numbers may be.

A recipe may come from a stranger, in a bundle too. So every whole number in it has an upper bound far above
sensible use, and no number is infinite or NaN.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from secondread.wording.short import described

Layers = Annotated[int, Field(ge=1, le=256)]
"""Of what is stacked: blocks, levels, steps of a flow."""
Width = Annotated[int, Field(ge=1, le=1 << 16)]
"""Channels of a layer, dimensions of a vector, words and clusters."""
Side = Annotated[int, Field(ge=1, le=1 << 14)]
"""Pixels along an axis."""


def _has_a_middle(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("should be odd, so that the position itself is in the middle")
    return side


Window = Annotated[int, Field(ge=1, le=31), AfterValidator(_has_a_middle)]
"""Positions per axis around each one, itself in the middle: a kernel, a neighbourhood."""
Draws = Annotated[int, Field(ge=1, le=10_000)]
"""Repetitions for each image."""
Count = Annotated[int, Field(ge=1, le=10**9)]
"""Images, epochs, steps, rows of a bank: what only time and data bound."""


class Settings(BaseModel):
    """A frozen group of settings in which an unknown name is an error.

    >>> import secondread
    >>> class Blur(secondread.Settings):
    ...     sigma: float = 1.0
    >>> Blur(sigma=2).sigma
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def __repr__(self) -> str:
        """In one short line, however much it holds."""
        return described(type(self).__name__, self.__repr_args__())

    __str__ = __repr__
