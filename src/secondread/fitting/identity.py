"""What tells one fit from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from secondread.bundles.bundle_document import BundleDocument
from secondread.cohorts.manifest import Manifest
from secondread.recipes.recipe import Recipe
from secondread.recipes.without_places import without_places


def digest_of(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def identity_of(
    recipe: Recipe, manifest: Manifest, auxiliary: Manifest | None, *, allow_shared_patients: bool
) -> dict[str, Any]:
    """Of a fit to be made: see `Unfinished`."""
    identity = {
        "recipe": digest_of(without_places(recipe.model_dump(mode="json"))),
        "manifest": manifest.digest,
        "seed": recipe.seed,
        "allow_shared_patients": allow_shared_patients,
    }
    return identity if auxiliary is None else identity | {"auxiliary": auxiliary.digest}


def identity_in(document: BundleDocument) -> dict[str, Any]:
    """Of the fit that made a bundle."""
    made = document.provenance
    identity = {
        "recipe": digest_of(document.recipe),
        "manifest": made.manifest_digest,
        "seed": made.seed,
        "allow_shared_patients": made.allow_shared_patients,
    }
    return identity | {"auxiliary": made.auxiliary_digest} if made.auxiliary_digest else identity
