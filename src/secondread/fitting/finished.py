"""A bundle that an earlier run of the same fit left."""

from __future__ import annotations

from secondread.bundles.bundle import Bundle
from secondread.bundles.read_document import read_document
from secondread.errors import UserError
from secondread.fitting.identity import identity_in
from secondread.fitting.unfinished import Unfinished
from secondread.scoring.device import choose_device
from secondread.scoring.processes import process_rank


def finished_before(unfinished: Unfinished, device: str | None, *, resume: bool) -> Bundle:
    """The bundle that an earlier run of the same fit left; UserError where it is another's."""
    out = unfinished.out
    document, _ = read_document(out)
    earlier = identity_in(document)
    if earlier == unfinished.identity and process_rank() == 0:
        unfinished.clear_if_finished()
    if not resume:
        raise UserError(f"{out}: there is a bundle already; remove it or choose another place with -o")
    for name, value in unfinished.identity.items():
        if earlier.get(name) != value:
            raise UserError(f"{out}: a finished bundle of another {name}; choose another place with -o")
    return Bundle.load(out, device=str(choose_device(device)))
