"""What may be written for a device. No torch here, so that a slip is told before anything is imported."""

from __future__ import annotations

import re

from secondread.errors import UserError

KNOWN = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
MEANT = {
    **dict.fromkeys(("gpu", "nvidia", "rocm", "hip", "amd"), "cuda"),
    **dict.fromkeys(("processor", "none"), "cpu"),
}


def refuse_unknown_device(name: str | None) -> None:
    """UserError for a name that no machine has as a device; whether this one has it is torch's to say."""
    if name is None or KNOWN.fullmatch(str(name)):
        return
    plain = str(name).strip().lower()
    meant = plain if KNOWN.fullmatch(plain) else MEANT.get(plain.partition(":")[0])
    hint = f"did you mean {meant}? " if meant else ""
    raise UserError(f"device {name!r} is not known; {hint}use auto, cpu, cuda or cuda:1")
