"""Which bundle takes which image, by header facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from secondread.service.reading.routing import age_in_years, route
from secondread.service.settings.bundles import BundleSettings


@dataclass
class Image:
    sop_instance_uid: str
    series_uid: str = "1"
    facts: dict[str, Any] = field(default_factory=dict)


CHEST = {"modality": ["CR", "DX"], "body_part": ["CHEST"], "view": ["PA", "AP"], "age": [16, 120]}
ADULT = {"modality": "DX", "body_part": "CHEST", "view": "PA", "age": 40}


def bundle(name: str, **takes: Any) -> BundleSettings:
    return BundleSettings.model_validate({"name": name, "bundle": "x", "takes": takes})


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"modality": "CR", "view": "AP"}, ""),
        ({"body_part": "chest "}, ""),
        ({"age": "016Y"}, ""),
        ({"modality": "MR"}, "modality MR, and the bundle takes CR or DX"),
        ({"body_part": "HAND"}, "body part HAND, and the bundle takes CHEST"),
        ({"view": "LL"}, "view LL, and the bundle takes PA or AP"),
        ({"view": ""}, "the header says no view, and the bundle takes PA or AP"),
        ({"age": 7}, "an age outside of the 16 to 120 years that the bundle takes"),
        ({"age": "011M"}, "an age outside of the 16 to 120 years that the bundle takes"),
        ({"age": None}, "the header says no age, and the bundle takes 16 to 120 years"),
    ],
)
def test_a_header_is_taken_or_says_why_not(facts: dict[str, Any], reason: str) -> None:
    found = route([bundle("chest", **CHEST)], [Image("1", facts=ADULT | facts)])
    assert bool(found.taken) == (not reason)
    assert found.reason == (f"no bundle takes its images: chest: {reason}" if reason else "")


def test_each_image_of_a_study_goes_to_the_first_bundle_that_takes_it() -> None:
    films, head = bundle("films", modality=["DX", "CR"]), bundle("head", modality=["CT"])
    images = [
        Image("3", "b", {**ADULT, "view": "LL"}),
        Image("2", "c", {"modality": "CT"}),
        Image("1", "a", ADULT),
        Image("4", "d", {"modality": "SR"}),
    ]
    taken = route([bundle("chest", **CHEST), films, head], images).taken
    assert {name: [one.sop_instance_uid for one in found] for name, found in taken.items()} == {
        "chest": ["1"],
        "films": ["3"],
        "head": ["2"],
    }


def test_a_bundle_that_asks_nothing_takes_everything_that_is_an_image() -> None:
    assert route([bundle("any")], [Image("1"), Image("2")]).taken.keys() == {"any"}


@pytest.mark.parametrize(
    "facts", [{"modality": "PR"}, {"use": "no image"}, {"modality": "DX", "use": "result"}]
)
def test_reports_and_results_that_came_back_are_never_scored(facts: dict[str, Any]) -> None:
    assert route([bundle("any")], [Image("1", facts=facts)]).reason == "it holds no image"


def test_many_reasons_are_told_in_one_line() -> None:
    bundles = [bundle(f"b{number}", modality=["CT"]) for number in range(5)]
    assert route(bundles, [Image("1", facts={"modality": "MR"})]).reason.endswith("(and 2 more reasons)")


@pytest.mark.parametrize(
    ("said", "years"),
    [("018M", 1.5), ("052W", 364 / 365.25), (3.5, 3.5), ("12", 12.0), ("", None), ("xY", None)],
)
def test_ages_are_years(said: Any, years: float | None) -> None:
    assert age_in_years(said) == (None if years is None else pytest.approx(years))
