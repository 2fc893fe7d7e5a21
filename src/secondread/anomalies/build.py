"""From settings to the anomalies that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError

from secondread.anomalies import ANOMALIES
from secondread.anomalies.anomaly import AnomalySettings, MakeAnomalies
from secondread.errors import UserError
from secondread.settings.mistakes import mistakes, validated_by_kind


def _of_their_kind(given: Any) -> Any:
    return validated_by_kind(given, lambda name: ANOMALIES.chosen(name, "its name").Settings)


AnyAnomalySettings = Annotated[SerializeAsAny[AnomalySettings], BeforeValidator(_of_their_kind)]
"""Settings of any kind of anomaly, within those of a detector."""


def make_anomalies(settings: AnomalySettings) -> MakeAnomalies:
    """The anomalies that settings describe."""
    return ANOMALIES.find(settings.name)(settings)


def build_anomalies(given: Mapping[str, Any], where: str) -> MakeAnomalies:
    """The anomalies that a person describes: their `name` and settings beside it.

    Raises UserError, which begins with `where` it was written, for an unknown name or setting.
    """
    kind = ANOMALIES.chosen(given["name"], f"{where}.name")
    try:
        return kind(kind.Settings.model_validate(given))
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, kind.Settings, where))) from None
