"""Files of one examination told apart by a word in their names: which are the image, which its mask and which
the brain: `p1_flair.nii.gz`, `p1_seg.nii.gz`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from secondread.cohorts.listing.channels import Groups, Lacking
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.streamed.row_table import RowTable
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.wording.lists import Counted, few
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

    def joined(
        self, database: TemporaryDatabase, rows: Iterable[Row]
    ) -> tuple[RowTable, list[SetAside], list[str]]:
        """One row for the files whose paths are the same but for one of the words; what lacks a part; and
        what is to be said. The brain's mask is the last file of `path`, for `foreground: given`. Raises
        UserError where no image is whole."""
        needed = [*self.image, *([self.named_brain] if self.named_brain else [])]
        all_rows, others = Counted(), Counted()

        def counted() -> Iterator[Row]:
            for row in rows:
                all_rows.add(row.path)
                yield row

        groups = Groups(
            database,
            counted(),
            [*needed, *([self.mask] if self.mask else [])],
            lambda row: others.add(row.path),
        )
        images, lacking = RowTable(database, "of_parts"), Lacking()
        whole = without_mask = 0

        def joined() -> Iterator[tuple[tuple[int, int, int], Row]]:
            nonlocal whole, without_mask
            for group in groups:
                if missing := [word for word in needed if word not in group.of]:
                    lacking.add(group, missing)
                    continue
                mask = group.of[self.mask].path if self.mask in group.of else ""
                without_mask += bool(self.mask and not mask)
                whole += 1
                path = SEPARATOR.join(group.of[word].path for word in needed)
                yield (group.number, 0, 0), replace(group.of[needed[0]], path=path, mask=mask)

        images.add(joined())
        aside = [*groups.twice, *lacking]
        if not whole:
            first = f"; first: {aside[0]}" if aside else f"; the folder has {all_rows.few(3)}"
            raise UserError(f"--volume-parts: no image has all of {few(needed)} in its names{first}")
        notes = []
        if others.count:
            notes.append(f"{count(others.count, 'file')} of other parts left out: {others.few(3)}")
        if without_mask:
            notes.append(f"{count(without_mask, 'image')} without a file for {self.mask}: without a mask")
        return images, aside, notes
