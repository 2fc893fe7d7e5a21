"""Every whole number that a recipe may hold has an upper bound, so that no recipe asks for the impossible."""

from collections.abc import Iterator
from typing import Any

import pytest

from secondread import anomalies
from secondread.detectors import DETECTORS, find
from secondread.errors import UserError
from secondread.estimators import outlier_models
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

MODELS = [
    Recipe,
    *(find(name).Settings for name in DETECTORS),
    *(anomalies.find(name).Settings for name in anomalies.ANOMALIES),
    *outlier_models.MODELS.values(),
]


def unbounded(schema: Any, where: str = "") -> Iterator[str]:
    if isinstance(schema, dict):
        bounded = {"maximum", "exclusiveMaximum", "enum", "const"} & schema.keys()
        if schema.get("type") == "integer" and not bounded:
            yield where
        for key, value in schema.items():
            if key not in ("default", "description", "title"):
                yield from unbounded(value, f"{where}/{key}")
    elif isinstance(schema, list):
        for value in schema:
            yield from unbounded(value, where)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_whole_number_has_an_upper_bound(model) -> None:
    assert list(unbounded(model.model_json_schema())) == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_number_is_infinite(model) -> None:
    assert model.model_config["allow_inf_nan"] is False


@pytest.mark.parametrize(
    ("preset", "settings", "line"),
    [
        ("aeflow-conv", "detector.flow.blocks=1000000000", "less than or equal to 256"),
        ("ae", "detector.network.hidden=65536; detector.network.width=65536", "GiB"),
        ("glow-cxr-small", "preprocessing.size=[65536, 65536]", "GiB"),
        ("glow-cxr-small", "detector.flow.levels=60", "multiple of"),
        ("spectrum", "preprocessing.size=[8, 8, 1000000000]", "less than or equal to"),
        ("aeflow-conv", "detector.decoder.hidden=[" + "4, " * 5_000 + "4]", "at most 16 items"),
    ],
)
def test_a_recipe_that_asks_for_too_much_is_refused_before_it_gets_any_memory(preset, settings, line) -> None:
    with pytest.raises(UserError, match=line) as caught:
        build_detector(Recipe.load(preset, set=settings.split("; ")))
    assert len(str(caught.value).splitlines()) == 1
