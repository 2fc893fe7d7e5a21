"""What a bundle saw: digests of images, by bytes and by pixels, and keyed hashes of patient ids, by cohort.

Evaluation refuses an image or a patient that the bundle saw, and needs no name for it. An image that was
saved again has other bytes and is known by its pixels (see `images.content`). The key is drawn for each fit
and lies in the bundle: the hashes keep ids from being read in passing, they do not resist someone who has
the bundle and a list of ids to try.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping

from pydantic import Field

from secondread.settings.base import Settings


def hash_patient(patient_id: str, key: str) -> str:
    """Keyed BLAKE2b of a patient id, 16 bytes in hex; `key` is hex."""
    return hashlib.blake2b(patient_id.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()


class Seen(Settings):
    """Digests of images and keyed hashes of patient ids, by cohort.

    `images` are digests of the bytes, `pixels` of the decoded pixels; bundles of earlier versions have none
    of these.
    """

    key: str = Field(pattern="^[0-9a-f]{32}$")
    images: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    pixels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    patients: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def __repr__(self) -> str:
        images, patients = (sum(map(len, table.values())) for table in (self.images, self.patients))
        return f"<Seen: {images:,} images and {patients:,} patients of {len(self.images)} cohorts>"

    __str__ = __repr__

    @classmethod
    def of(
        cls,
        images: Mapping[str, Iterable[str]],
        pixels: Mapping[str, Iterable[str]],
        patients: Mapping[str, Iterable[str | None]],
        key: str | None = None,
    ) -> Seen:
        """From digests and *raw* patient ids by cohort; missing ids are left out."""
        key = key or secrets.token_hex(16)
        return cls(
            key=key,
            images={cohort: tuple(sorted(set(digests))) for cohort, digests in images.items()},
            pixels={cohort: tuple(sorted(set(digests))) for cohort, digests in pixels.items()},
            patients={
                cohort: tuple(sorted({hash_patient(p, key) for p in ids if p}))
                for cohort, ids in patients.items()
            },
        )

    def recall(self, *, without: Collection[str] = ()) -> Recall:
        """What tells whether an image was seen, in all cohorts but some."""
        return Recall(
            *(
                {cohort: digests for cohort, digests in table.items() if cohort not in without}
                for table in (self.images, self.pixels)
            )
        )

    def with_more(
        self,
        cohort: str,
        images: Iterable[str],
        pixels: Iterable[str],
        patients: Iterable[str | None],
    ) -> Seen:
        """The same, with further images and patients (raw ids) in a cohort."""
        more = Seen.of({cohort: images}, {cohort: pixels}, {cohort: patients}, self.key)

        def joined(
            table: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]
        ) -> dict[str, tuple[str, ...]]:
            return {**table, cohort: tuple(sorted({*table.get(cohort, ()), *other[cohort]}))}

        return Seen(
            key=self.key,
            images=joined(self.images, more.images),
            pixels=joined(self.pixels, more.pixels),
            patients=joined(self.patients, more.patients),
        )


class Recall:
    """In which cohorts an image was seen, by its bytes or by its pixels."""

    def __init__(self, images: Mapping[str, Iterable[str]], pixels: Mapping[str, Iterable[str]]) -> None:
        self._images = _by_digest(images)
        self._pixels = _by_digest(pixels)

    def cohorts(self, digest: str, content: str) -> str:
        """The cohorts, joined by `;`; empty where the image was not seen."""
        named = (*self._images.get(digest, ()), *self._pixels.get(content, ()))
        return ";".join(dict.fromkeys(named))


def _by_digest(table: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for cohort, digests in table.items():
        for digest in digests:
            found.setdefault(digest, []).append(cohort)
    return found
