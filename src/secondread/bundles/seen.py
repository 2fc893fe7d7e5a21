"""What a bundle saw: content digests of images and keyed hashes of patient ids, by cohort.

Evaluation refuses an image or a patient that the bundle saw, and needs no name for it. The key is
drawn for each fit and lies in the bundle: the hashes keep ids from being read in passing, they do not
resist someone who has the bundle and a list of ids to try.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping

from pydantic import Field

from secondread.settings import Settings


def hash_patient(patient_id: str, key: str) -> str:
    """Keyed BLAKE2b of a patient id, 16 bytes in hex; `key` is hex."""
    return hashlib.blake2b(patient_id.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()


class Seen(Settings):
    """Content digests of images and keyed hashes of patient ids, by cohort."""

    key: str = Field(pattern="^[0-9a-f]{32}$")
    images: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    patients: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        images: Mapping[str, Iterable[str]],
        patients: Mapping[str, Iterable[str | None]],
        key: str | None = None,
    ) -> Seen:
        """From digests and *raw* patient ids by cohort; missing ids are left out."""
        key = key or secrets.token_hex(16)
        return cls(
            key=key,
            images={cohort: tuple(sorted(set(digests))) for cohort, digests in images.items()},
            patients={
                cohort: tuple(sorted({hash_patient(p, key) for p in ids if p}))
                for cohort, ids in patients.items()
            },
        )

    def cohorts_of_image(self) -> dict[str, str]:
        """Digest -> the cohorts it was in, joined by `;`."""
        cohorts: dict[str, list[str]] = {}
        for cohort, digests in self.images.items():
            for digest in digests:
                cohorts.setdefault(digest, []).append(cohort)
        return {digest: ";".join(names) for digest, names in cohorts.items()}

    def with_more(self, cohort: str, digests: Iterable[str], patients: Iterable[str | None]) -> Seen:
        """The same, with further images and patients (raw ids) in a cohort."""
        more = Seen.of({cohort: digests}, {cohort: patients}, self.key)
        return Seen(
            key=self.key,
            images={
                **self.images,
                cohort: tuple(sorted({*self.images.get(cohort, ()), *more.images[cohort]})),
            },
            patients={
                **self.patients,
                cohort: tuple(sorted({*self.patients.get(cohort, ()), *more.patients[cohort]})),
            },
        )
