"""Thresholds that people choose: checked, in force from then on, and for what was read before by request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reading_service import Bundles, Service, film, service_of

from secondread.bundles.bundle import Bundle
from secondread.errors import UserError
from secondread.service.reading.thresholds import (
    calibration_of,
    change_threshold,
    rate_in_force,
    rejudge,
    threshold_in_force,
)
from secondread.service.settings.bundles import BundleSettings


@pytest.fixture
def service(fitted: Bundle, tmp_path: Path) -> Service:
    return service_of(tmp_path, fitted)


@pytest.fixture
def bundle(service: Service) -> BundleSettings:
    return service.settings.bundles[0]


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.0, "not between 0 and 1"),
        (1.0, "not between 0 and 1"),
        (float("nan"), "not between 0 and 1"),
        (0.001, "needs calibration normals of 999 patients"),
    ],
)
def test_a_rate_that_means_nothing_is_refused(
    service: Service, bundle: BundleSettings, rate: float, said: str
) -> None:
    with service.database.write() as session, pytest.raises(UserError, match=said):
        change_threshold(session, bundle, rate, "someone")
    with service.database.read() as session:
        assert rate_in_force(session, "films") is None


def test_the_newest_choice_counts_and_says_what_it_promises(
    service: Service, bundle: BundleSettings, fitted: Bundle
) -> None:
    with service.database.read() as session:
        assert threshold_in_force(session, bundle)["threshold"] == told(fitted.calibration.threshold)
    for rate in (0.5, 0.25):
        with service.database.write() as session:
            promised = change_threshold(session, bundle, rate, "someone", "why")
            assert promised["false_alarm_rate"] == rate
    with service.database.read() as session:
        assert rate_in_force(session, "films") == 0.25
        assert threshold_in_force(session, bundle)["threshold"] == fitted.calibration.at(0.25).threshold


def told(threshold: float) -> float | None:
    return threshold if np.isfinite(threshold) else None


def test_what_is_read_later_is_judged_by_it_and_what_was_read_before_on_request(
    service: Service, bundle: BundleSettings, bundles: Bundles, tmp_path: Path
) -> None:
    calibration = calibration_of(bundle.bundle)
    service.receive(film(tmp_path / "1.dcm", 1))
    scorer = service.scorer(bundles)
    assert scorer.next() == "read"
    (first,) = service.readings()
    with service.database.write() as session:
        change_threshold(session, bundle, 0.5, "someone")
    service.receive(film(tmp_path / "2.dcm", 2, StudyInstanceUID="1.2.3.9"), study="1.2.3.9")
    assert scorer.next() == "read"
    second = service.readings()[-1]
    assert (second.false_alarm_rate, second.threshold) == (0.5, calibration.at(0.5).threshold)
    assert second.flagged is (second.p_value <= 0.5)
    assert first.false_alarm_rate != 0.5
    with service.database.write() as session:
        rejudge(session, bundle)
    again = service.readings()[0]
    assert (again.score, again.p_value) == (first.score, first.p_value)
    assert (again.flagged, again.false_alarm_rate) == (again.p_value <= 0.5, 0.5)
    assert service.study().flagged is again.flagged
    assert again.images[0]["flagged"] is again.flagged
