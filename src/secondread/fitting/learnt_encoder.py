"""An encoder that an earlier fit has learned: what it learned from, which no held-out image may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from secondread.bundles.bundle_document import BundleDocument
from secondread.bundles.read_document import one_line, read_document, read_seen
from secondread.bundles.seen import Seen, hash_patient
from secondread.cohorts.cohorts import Cohorts
from secondread.errors import DataError, UserError
from secondread.fitting.planning import HELD_OUT
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.recipes.recipe import Recipe

NAME = "encoder"
"""The cohort, in what a bundle saw, of images that its encoder learned from."""
KINDS = ("learnt", "patch_teacher")
"""Of encoders that come from a bundle."""
LEARNT_BY = ("normal", "unlabelled", "abnormal", "auxiliary", NAME)


@dataclass(frozen=True)
class LearntBefore:
    """What a recipe's encoder of one of `KINDS` learned from.

    name    of its bundle's folder
    digest  of that bundle
    seen    of its fit, the cohorts that it learned from alone
    """

    name: str
    digest: str
    document: BundleDocument
    seen: Seen

    @classmethod
    def of(cls, recipe: Recipe) -> LearntBefore | None:
        """None where the recipe's detector has no such encoder. UserError where it has several."""
        folders = {Path(place).expanduser() for place in _places(recipe.detector)}
        if not folders:
            return None
        if len(folders) > 1:
            named = ", ".join(sorted(str(folder) for folder in folders))
            raise UserError(
                f"the recipe's detectors have several learned encoders ({named}), and what was seen is kept "
                "for one; give all of them the same"
            )
        (folder,) = folders
        document, digest = read_document(folder)
        try:
            seen = read_seen(folder, document)
        except (ValidationError, ValueError) as error:
            told = one_line(error)
            raise DataError(f"{folder / 'seen.json'}: {told}; the bundle was changed or damaged") from error
        learnt = {
            table: {cohort: found for cohort, found in getattr(seen, table).items() if cohort in LEARNT_BY}
            for table in ("images", "pixels", "patients")
        }
        return cls(folder.name, digest, document, Seen(key=seen.key, **learnt))

    def notes(self, recipe: Recipe) -> tuple[str, ...]:
        """What whoever fits should know of it, one line each."""
        counts = self.document.provenance.cohorts
        of = " and ".join(f"{counts[name]:,} {name}" for name in LEARNT_BY if counts.get(name))
        told = [f"encoder {self.name} (bundle {self.digest[:12]}) has learned from {of} images"]
        then = self.document.recipe.get("preprocessing", {}).get("steps")
        if then != recipe.preprocessing.model_dump(mode="json")["steps"]:
            told.append(
                f"encoder {self.name} has learned from images that were prepared by other steps than this "
                "recipe's preprocessing.steps"
            )
        if "seen" in self.document.left_out:
            told.append(
                f"encoder {self.name} was handed over without the list of what it learned from, so it "
                "cannot be "
                "told whether held-out normals are among it; if some are, p-values promise too much"
            )
        return tuple(told)

    def refuse_held_out(
        self, cohorts: Cohorts, sets: Mapping[str, PreparedSet], *, allow_shared_patients: bool
    ) -> None:
        """UserError where it learned from normals that are held out here, or from other images of their
        patients: their features would be nearer to those of normals than a new patient's are."""
        recall = self.seen.recall()
        known = {patient for patients in self.seen.patients.values() for patient in patients}
        for name in HELD_OUT:
            images = sets[name]
            seen = sum(
                bool(recall.cohorts(*both)) for both in zip(images.digests, images.contents, strict=True)
            )
            rows = getattr(cohorts, name)
            patients = {hash_patient(row.patient_id, self.seen.key) for row in rows if row.patient_id}
            shared = 0 if allow_shared_patients else len(patients & known)
            if seen or shared:
                what = f"{seen} of the {len(images)} images" if seen else f"images of {shared} patients"
                raise UserError(
                    f"encoder {self.name} has learned from {what} of the {name} cohort, so p-values would "
                    "promise too much; learn it with this manifest, seed and cohorts, or fit on a manifest "
                    "without them"
                )

    def added_to(self, seen: Seen) -> Seen:
        """What a fit saw, with what its encoder did; `seen` has the key of `self.seen`."""
        assert seen.key == self.seen.key
        tables = {}
        for table in ("images", "pixels", "patients"):
            learnt = sorted({one for found in getattr(self.seen, table).values() for one in found})
            tables[table] = {**getattr(seen, table), NAME: tuple(learnt)}
        return Seen(key=seen.key, **tables)


def _places(values: Any) -> Iterator[str]:
    """The folders of learned encoders anywhere in a detector's settings."""
    if isinstance(values, list | tuple):
        for value in values:
            yield from _places(value)
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key == "encoder" and isinstance(value, Mapping) and value.get("name") in KINDS:
                if (place := value.get("weights")) not in (None, "", "random"):
                    yield str(place)
            else:
                yield from _places(value)
