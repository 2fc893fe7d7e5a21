import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.bundles.operating_point import OperatingPoint
from secondread.errors import DataError, UserError


def test_a_bundle_at_another_rate_scores_alike_and_flags_otherwise(fitted: Bundle, tmp_path: Path) -> None:
    point = OperatingPoint.read(fitted.path)
    digest = point.at(0.4).save(tmp_path / "other")
    other = Bundle.load(tmp_path / "other")
    assert other.digest == digest != fitted.digest
    assert other.recipe.calibration.false_alarm_rate == 0.4
    assert other.calibration.threshold == fitted.calibration.images.threshold(0.4)
    assert other.calibration.study_threshold == fitted.calibration.studies.threshold(0.4)
    assert np.array_equal(other.calibration.images.scores, fitted.calibration.images.scores)
    assert other.calibration.recalibrated is False  # on the same normals
    assert {c.settings.false_alarm_rate for c in other.companions.calibrations.values()} == {0.4}
    assert other.precision == fitted.precision
    done = other.provenance.recalibrated[-1]
    assert (done["from"], done["false_alarm_rate"]) == (fitted.digest, "0.4")
    for file in ("model.safetensors", "calibration.safetensors", "seen.json"):
        assert (tmp_path / "other" / file).read_bytes() == (fitted.path / file).read_bytes()
    card = (tmp_path / "other" / "README.md").read_text()
    assert "At most 40 %" in card
    assert digest in card
    assert point.lineage < OperatingPoint.read(tmp_path / "other").lineage


def test_the_same_call_finds_its_bundle_and_no_other_is_replaced(fitted: Bundle, tmp_path: Path) -> None:
    point = OperatingPoint.read(fitted.path)
    assert point.at(0.4).save(tmp_path / "other") == point.at(0.4).save(tmp_path / "other")
    with pytest.raises(UserError, match="a bundle is never changed"):
        point.at(0.3).save(tmp_path / "other")


def test_a_rate_that_is_none_and_a_bundle_without_normals_are_refused(fitted: Bundle, tmp_path: Path) -> None:
    point = OperatingPoint.read(fitted.path)
    for rate in (0.0, 1.0, float("nan")):
        with pytest.raises(UserError, match="not between 0 and 1"):
            point.at(rate)


def test_a_changed_file_stops_it_and_nothing_is_left(copied: Path, tmp_path: Path) -> None:
    model = copied / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="SHA-256"):
        OperatingPoint.read(copied).at(0.4).save(tmp_path / "other")
    model.unlink()
    with pytest.raises(DataError, match=r"model\.safetensors: cannot be read"):
        OperatingPoint.read(copied).at(0.4).save(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_no_torch_is_imported(fitted: Bundle, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from secondread.bundles.operating_point import OperatingPoint; "
        "from secondread.calibration.description import describe; "
        "point = OperatingPoint.read(Path(sys.argv[1])).at(0.4); describe(point.calibration); "
        "point.save(Path(sys.argv[2])); import secondread.readings.rejudged; "
        "print([name for name in ('torch', 'scipy.stats', 'scipy.ndimage') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, fitted.path, tmp_path / "other"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert json.loads((tmp_path / "other" / "bundle.json").read_text())["recipe"]["calibration"]
