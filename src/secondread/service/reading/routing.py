"""Which bundle reads which of a study's images, by what their headers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from secondread.cohorts.listing.dicom_tree import NO_IMAGES
from secondread.service.settings.bundles import BundleSettings, Takes

_UNITS = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
"""How many of them a year has (PS3.5 6.2, AS)."""


class Routed(Protocol):
    """What an instance says of itself: a row of the table `instance`."""

    series_uid: str
    sop_instance_uid: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Routes:
    """taken   name of a bundle -> its instances, by series and UID; bundles without any are left out
    reason  why no bundle takes anything, in a line; empty where one does"""

    taken: Mapping[str, tuple[Any, ...]]
    reason: str = ""


def route(bundles: Sequence[BundleSettings], instances: Iterable[Routed]) -> Routes:
    """Each image goes to the first bundle that takes it; what holds no image goes to none."""
    ordered = sorted(instances, key=lambda one: (one.series_uid, one.sop_instance_uid))
    images = [one for one in ordered if _is_image(one.facts)]
    taken: dict[str, list[Any]] = {}
    refused: dict[str, None] = {}
    for image in images:
        whys = []
        for bundle in bundles:
            why = why_not(bundle.takes, image.facts)
            if not why:
                taken.setdefault(bundle.name, []).append(image)
                break
            whys.append(f"{bundle.name}: {why}")
        else:
            refused.update(dict.fromkeys(whys))
    if taken:
        return Routes({name: tuple(found) for name, found in taken.items()})
    if not images:
        return Routes({}, "it holds no image")
    shown = list(refused)[:3]
    more = f" (and {len(refused) - 3} more reasons)" if len(refused) > 3 else ""
    return Routes({}, f"no bundle takes its images: {'; '.join(shown)}{more}")


def _is_image(facts: Mapping[str, Any]) -> bool:
    """Neither a report nor the like, nor a result of a service that came back."""
    return facts.get("use", "image") == "image" and _term(facts, "modality") not in NO_IMAGES


def why_not(takes: Takes, facts: Mapping[str, Any]) -> str:
    """Why an image with these facts is not taken; empty where it is. What is asked for and not said is not
    taken."""
    for wanted, name, called in (
        (takes.modality, "modality", "modality"),
        (takes.body_part, "body_part", "body part"),
        (takes.view, "view", "view"),
    ):
        if not wanted:
            continue
        found = _term(facts, name)
        if not found:
            return f"the header says no {called}, and the bundle takes {_either(wanted)}"
        if found not in {_plain(one) for one in wanted}:
            return f"{called} {found}, and the bundle takes {_either(wanted)}"
    if takes.age is not None:
        low, high = takes.age
        years = age_in_years(facts.get("age"))
        if years is None:
            return f"the header says no age, and the bundle takes {low:g} to {high:g} years"
        if not low <= years <= high:
            return f"an age outside of the {low:g} to {high:g} years that the bundle takes"
    return ""


def age_in_years(said: Any) -> float | None:
    """A number of years, or an age as DICOM writes it (`034Y`, `006M`); None where it is neither.

    >>> age_in_years("018M"), age_in_years(34), age_in_years("old")
    (1.5, 34.0, None)
    """
    if isinstance(said, int | float) and not isinstance(said, bool):
        return float(said)
    text = str(said or "").strip().upper()
    if len(text) > 1 and text[:-1].isdecimal() and text[-1] in _UNITS:
        return int(text[:-1]) / _UNITS[text[-1]]
    try:
        return float(text)
    except ValueError:
        return None


def _term(facts: Mapping[str, Any], name: str) -> str:
    return _plain(facts.get(name) or "")


def _plain(said: Any) -> str:
    return " ".join(str(said).replace("_", " ").split()).upper()


def _either(terms: Sequence[str]) -> str:
    return " or ".join(terms)
