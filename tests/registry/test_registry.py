"""Names of detectors, encoders and anomalies: by their files, or where a person allows code from outside."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_packages import install

from secondread.anomalies import ANOMALIES
from secondread.detectors import DETECTORS
from secondread.errors import UserError
from secondread.networks.encoders import ENCODERS
from secondread.registry import outside

KINDS = {"detectors": DETECTORS, "encoders": ENCODERS, "anomalies": ANOMALIES}
NAMES = [(kind, name) for kind, registry in KINDS.items() for name in registry]
DETECTOR = """
from secondread.detectors.contract import Detector
class Mine(Detector):
    pass
class NoDetector:
    pass
nothing = 3
"""
MINE = "my_methods:Mine"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_file_of_a_kind_defines_one_class_under_its_name(kind: str, name: str) -> None:
    found = KINDS[kind].find(name)
    assert found.__module__ == KINDS[kind].built_in[name]
    assert name in {
        found.__module__.rpartition(".")[2],
        found.__module__.rpartition(".")[2].replace("_", "-"),
    }
    if kind != "encoders":
        assert found.Settings.model_fields["name"].default == name


def test_names_are_listed_without_importing_what_they_name() -> None:
    code = (
        "import sys; from secondread.detectors import DETECTORS; from secondread.anomalies import ANOMALIES; "
        "from secondread.networks.encoders import ENCODERS; print(*DETECTORS, *ANOMALIES, *ENCODERS); "
        "assert 'torch' not in sys.modules, 'torch'"
    )
    listed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"k-nn", "fpi", "conv", "wide_resnet50_2"} <= set(listed.split())


def test_code_from_outside_is_imported_where_a_person_allows_it_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = install(tmp_path, "my_methods", DETECTOR, monkeypatch)
    with pytest.raises(UserError, match=f"nobody allowed.*--allow-code {MINE}"):
        DETECTORS.find(MINE)
    assert not marker.exists()
    outside.allow([MINE])
    assert DETECTORS.find(MINE).__name__ == "Mine"
    assert marker.exists()
    with pytest.raises(UserError, match="nobody allowed"):
        DETECTORS.find("my_methods:NoDetector")


def test_the_environment_allows_code_for_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "my_methods", DETECTOR, monkeypatch)
    monkeypatch.setenv("SECONDREAD_ALLOW_CODE", f"others:Other, {MINE}")
    assert DETECTORS.find(MINE).__name__ == "Mine"


def test_entry_points_of_installed_packages_are_taken_by_name_and_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"secondread.detectors": {"mine": MINE, "k-nn": MINE}}
    install(tmp_path, "my_methods", DETECTOR, monkeypatch, entry_points=points)
    assert DETECTORS.find("mine") is DETECTORS.find(MINE)
    assert DETECTORS.find("k-nn").__name__ == "KNearestNeighbours"
    with pytest.raises(KeyError, match="did you mean mine"):
        DETECTORS.find("min")
    with pytest.raises(KeyError):
        ANOMALIES.find("mine")


def test_a_name_that_two_packages_offer_has_to_be_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("my_methods", "other_methods"):
        points = {"secondread.detectors": {"mine": f"{module}:Mine"}}
        install(tmp_path / module, module, DETECTOR, monkeypatch, entry_points=points)
    with pytest.raises(UserError, match="several installed packages offer the detector 'mine'"):
        DETECTORS.find("mine")
    assert DETECTORS.find("other_methods:Mine").__module__ == "other_methods"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("my_methods:NoDetector", "is no detector: it should be a subclass"),
        ("my_methods:nothing", "is no detector"),
        ("my_methods:Gone", "has no attribute 'Gone'"),
        ("my_methods.deeper:Mine", "is not installed here"),
        ("not_there:Mine", "there is no module 'not_there'"),
        ("broken_methods:Mine", "cannot be imported (ZeroDivisionError: division by zero)"),
        ("secondread.detectors.contract:Detector", "is no detector"),
    ],
)
def test_what_is_allowed_and_does_not_fit_is_told_in_one_line(
    place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "good", "my_methods", DETECTOR, monkeypatch)
    install(tmp_path / "bad", "broken_methods", "1 / 0", monkeypatch)
    outside.allow([place])
    with pytest.raises(UserError) as caught:
        DETECTORS.find(place)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["my_methods", "my_methods:", ":Mine", "a:b:c", "../my_methods:Mine", "my_methods :Mine", "a.:Mine",
     "a..b:C", "my_methods:Mine\n", "my_methods:Mine()", "ａ:Mine", "a:" + "b" * 300, "", "a.b:c.d"],
)  # fmt: skip
def test_what_is_not_the_name_of_code_is_neither_allowed_nor_looked_for(name: str) -> None:
    with pytest.raises(UserError, match="names no code"):
        outside.allow([name])
    with pytest.raises(KeyError):
        DETECTORS.find(name)
