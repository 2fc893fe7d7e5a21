"""Files of one examination told apart by a word in their names: which are the image, which its mask and which
the brain: `p1_flair.nii.gz`, `p1_seg.nii.gz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondread.cohorts.listing.channels import Groups
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.wording.lists import few
from secondread.wording.numbers import count

_KEYS = ("image", "mask", "brain")
_EXAMPLE = "image=flair,mask=seg,brain=brainmask"
NOT_ZERO = "nonzero"


@dataclass(frozen=True)
class VolumeParts:
    """The words of `--volume-parts`: `image` one or several (channels, in this order), `mask` and `brain`
    one or none. `brain` may be `nonzero`: where some channel of the image is not 0."""

    image: tuple[str, ...]
    mask: str = ""
    brain: str = ""

    @classmethod
    def parse(cls, text: str) -> VolumeParts:
        """`image=t1+t2+flair,mask=seg,brain=nonzero`. Raises UserError for anything else."""
        said: dict[str, str] = {}
        for part in text.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or key not in _KEYS or not value or key in said:
                raise UserError(
                    f"--volume-parts {text}: {part.strip()!r} is none of image=, mask= or brain=, each "
                    f"once, as in {_EXAMPLE}"
                )
            said[key] = value
        image = tuple(word.strip().lower() for word in said.get("image", "").split("+") if word.strip())
        found = cls(image, said.get("mask", "").lower(), said.get("brain", "").lower())
        words = [*image, *(word for word in (found.mask, found.named_brain) if word)]
        if not image or len({*words}) < len(words):
            raise UserError(
                f"--volume-parts {text}: say which word names the image, and no word twice, as in {_EXAMPLE}"
            )
        return found

    @property
    def named_brain(self) -> str:
        return "" if self.brain == NOT_ZERO else self.brain

    def joined(self, rows: Sequence[Row]) -> tuple[list[Row], list[SetAside], list[str]]:
        """One row for the files whose paths are the same but for one of the words; what lacks a part; and
        what is to be said. The brain's mask is the last file of `path`, for `foreground: given`. Raises
        UserError where no image is whole."""
        needed = [*self.image, *([self.named_brain] if self.named_brain else [])]
        groups = Groups.of(rows, [*needed, *([self.mask] if self.mask else [])])
        images: list[Row] = []
        aside = list(groups.twice)
        without_mask = 0
        for group in groups.by_place.values():
            if missing := [word for word in needed if word not in group]:
                aside += [SetAside(row.path, f"its image lacks {few(missing)}") for row in group.values()]
                continue
            mask = group[self.mask].path if self.mask in group else ""
            without_mask += bool(self.mask and not mask)
            path = SEPARATOR.join(group[word].path for word in needed)
            images.append(replace(group[needed[0]], path=path, mask=mask))
        if not images:
            first = (
                f"; first: {aside[0]}" if aside else f"; the folder has {few([row.path for row in rows], 3)}"
            )
            raise UserError(f"--volume-parts: no image has all of {few(needed)} in its names{first}")
        notes = []
        if groups.others:
            notes.append(
                f"{count(len(groups.others), 'file')} of other parts left out: "
                f"{few([row.path for row in groups.others], 3)}"
            )
        if without_mask:
            notes.append(f"{count(without_mask, 'image')} without a file for {self.mask}: without a mask")
        return images, aside, notes
