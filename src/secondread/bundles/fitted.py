"""A fitted detector from a tensor file that may be a stranger's: planned and compared before it is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from secondread.bundles.tensors import form_of
from secondread.detectors.contract import Detector
from secondread.recipes.detector_size import Ceiling, plan_detector
from secondread.strict.tensor_file import TensorForm

LARGEST_GROWN = 4 << 30
"""Bytes of a bank of normals."""


def plan_fitted(make: Callable[[], Detector], forms: Mapping[str, TensorForm]) -> Detector:
    """What `make` builds, on the meta device.

    Raises ValueError where the tensors are not its own: others in name, type or shape, or far fewer.

    Beside the tensors a detector holds what follows from the recipe alone: the tail of a network that it cuts
    off, a number for each pixel.
    """
    planned = plan_detector(make, Ceiling(number=8 * len(forms) + 1_000))
    wanted = planned.state_dict()
    for name in sorted((wanted.keys() ^ forms.keys()) - (planned.added_later & wanted.keys())):
        where = "recipe" if name in wanted else "tensor file"
        raise ValueError(f"only the {where} has {name!r}")
    sizes: dict[str, int] = {}
    for name in sorted(wanted.keys() & forms.keys()):
        _compare(name, form_of(wanted[name]), forms[name], planned.grows.get(name, ()), sizes)
    beside = sum(form_of(buffer).bytes for name, buffer in planned.named_buffers() if name not in wanted)
    if beside > (1 << 20) + 16 * planned.channels * math.prod(planned.size):
        raise ValueError(f"the recipe asks for {beside / 2**30:.3g} GiB beside the tensors")
    return planned


def _compare(
    name: str, planned: TensorForm, found: TensorForm, grows: tuple[str | None, ...], sizes: dict[str, int]
) -> None:
    """One tensor; axes that grow in the fit have one length wherever they bear one name."""
    expected = list(planned.shape)
    if len(found.shape) == len(expected) and found.bytes <= LARGEST_GROWN:
        for axis, called in enumerate(grows):
            if called is not None:
                if found.shape[axis] == 0:
                    raise ValueError(f"{name!r} holds nothing, and it is what the fit collected")
                expected[axis] = sizes.setdefault(called, found.shape[axis])
    made = TensorForm(planned.dtype, tuple(expected))
    if made != found:
        raise ValueError(f"{name!r} is {found} where the recipe makes {made}")
