"""How torch's operations are written in ONNX's, by kind.

A writer is given the tape, what the operation returned, and its arguments; it returns the name of the value,
or of each value, in the graph. Shapes are those of the example: nothing in a graph is of variable size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secondread.exporting.no_graph import NoGraphError
from secondread.exporting.operations.attention import ATTENTION
from secondread.exporting.operations.elementwise import ELEMENTWISE
from secondread.exporting.operations.gradients import GRADIENTS
from secondread.exporting.operations.interpolating import INTERPOLATING
from secondread.exporting.operations.layers import LAYERS
from secondread.exporting.operations.moving import MOVING
from secondread.exporting.operations.products import PRODUCTS
from secondread.exporting.operations.reducing import REDUCING
from secondread.exporting.operations.selecting import SELECTING

WRITERS: dict[str, Callable[..., Any]] = {
    **ELEMENTWISE,
    **MOVING,
    **SELECTING,
    **REDUCING,
    **PRODUCTS,
    **LAYERS,
    **INTERPOLATING,
    **ATTENTION,
    **GRADIENTS,
}


def writer_of(operation: str, called: Any) -> Callable[..., Any]:
    """NoGraphError where there is none."""
    if operation in ("_local_scalar_dense", "equal", "is_nonzero", "nonzero"):
        raise NoGraphError("asks for a value in the midst of the computation, which then goes on by it")
    if operation not in WRITERS:
        raise NoGraphError(f"uses torch's operation {called}, which is not written in ONNX here")
    return WRITERS[operation]
