"""What tells one fit from another. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from secondread.cohorts.manifest import Manifest
from secondread.recipes.changed_settings import changed_settings
from secondread.recipes.recipe import Recipe
from secondread.recipes.without_places import without_places

SETTINGS = "settings"
"""In the file of an unfinished fit: the recipe itself, so that differences have names."""


def digest_of(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values as they are kept and compared."""
    values: dict[str, Any] = without_places(recipe.model_dump(mode="json"))
    return values


def identity_of(
    recipe: Recipe, manifest: Manifest, auxiliary: Manifest | None, *, allow_shared_patients: bool
) -> dict[str, Any]:
    """Of a fit to be made: see `Unfinished`."""
    identity = {
        "recipe": digest_of(settings_of(recipe)),
        "manifest": manifest.digest,
        "seed": recipe.seed,
        "allow_shared_patients": allow_shared_patients,
    }
    return identity if auxiliary is None else identity | {"auxiliary": auxiliary.digest}


def identity_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of the fit that made a bundle, from its `bundle.json`."""
    made = document["provenance"]
    identity = {
        "recipe": digest_of(document["recipe"]),
        "manifest": made["manifest_digest"],
        "seed": made["seed"],
        "allow_shared_patients": made["allow_shared_patients"],
    }
    return identity | {"auxiliary": made["auxiliary_digest"]} if made.get("auxiliary_digest") else identity


def differences(
    earlier: Mapping[str, Any],
    now: Mapping[str, Any],
    settings_then: Mapping[str, Any] | None,
    settings_now: Mapping[str, Any],
) -> str:
    """How a fit's identity differs from an earlier one's; empty where it does not.

    now            the identity, or as much of it as is known
    settings_then  the earlier recipe, where it is known
    """
    other = [name for name in now if earlier.get(name) != now[name]]
    told = []
    for name in other:
        if name == "recipe":
            changed = changed_settings(settings_then, settings_now) if settings_then else ""
            told += [changed] if changed else [] if "seed" in other else ["another recipe"]
        elif name == "seed":
            told.append(f"seed: {earlier.get(name)}, now {now[name]}")
        elif name == "allow_shared_patients":
            told.append(f"{'without' if earlier.get(name) is False else 'with'} --allow-shared-patients then")
        else:
            told.append(f"another {'list of auxiliary images' if name == 'auxiliary' else name}")
    return "; ".join(told)
