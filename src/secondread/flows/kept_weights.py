"""What a flow works out from its parameters before it can be asked, kept until one of them changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class KeptWeights(Generic[T]):
    """With the memory of the parameters, so that nothing else comes to lie there.

    Another thread may put its own in the place of it, or forget it, while the first goes on with what it was
    given. A copy, and another process, work it out for themselves.
    """

    def __init__(self) -> None:
        self._found: tuple[object, T, list[Tensor]] | None = None

    def of(self, parameters: Sequence[nn.Parameter], make: Callable[[], T], *form: object) -> T:
        """What `make` gives, of these parameters and in this `form`."""
        # fused optimisers do not count their changes, so that two sums must tell
        sums = [float(p.detach().sum()) for p in (parameters[0], parameters[-1])]
        stamp = (form, sums, [(p.data_ptr(), p._version) for p in parameters])
        found = self._found
        if found is None or found[0] != stamp:
            self._found = found = (stamp, make(), [p.detach() for p in parameters])
        return found[1]

    def forget(self) -> None:
        self._found = None

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptWeights, ()
