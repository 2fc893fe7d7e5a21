import json
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from changed_bundles import edit, replace_file

from secondread.bundles.bundle import Bundle
from secondread.errors import DataError, UserError
from secondread.fitting.fit import fit
from secondread.outputs import whole
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe

MODEL = "model.safetensors"


def one_line(caught: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_saved_and_loaded_is_the_same(fitted: Bundle, copied: Path, phantoms) -> None:
    loaded = Bundle.load(copied)
    assert loaded.provenance == fitted.provenance
    assert loaded.parts == fitted.parts
    for name, tensor in fitted.detector.state_dict().items():
        assert (loaded.detector.state_dict()[name] == tensor).all()
    assert loaded.calibration.threshold == fitted.calibration.threshold
    tested = phantoms.where("split=test")
    assert [r.score for r in score(loaded, tested, workers=0).rows] == [
        r.score for r in score(fitted, tested, workers=0).rows
    ]


def test_holds_no_patient_and_no_absolute_path(fitted: Bundle, copied: Path, phantoms) -> None:
    text = "".join((copied / name).read_text() for name in ("bundle.json", "seen.json"))
    assert not any(row.patient_id in text for row in phantoms.rows)
    assert str(phantoms.base) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_refuses_to_overwrite(fitted: Bundle, copied: Path) -> None:
    with pytest.raises(UserError, match="already"):
        fitted.save(copied)


def test_a_full_disk_leaves_nothing_and_says_so(fitted: Bundle, tmp_path: Path, monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(UserError, match="no room left") as caught:
            fitted.save(tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_before_the_rename_leaves_nothing(fitted: Bundle, tmp_path: Path, monkeypatch) -> None:
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole, "sync", stop)
    with pytest.raises(KeyboardInterrupt):
        fitted.save(tmp_path / "stopped")
    assert list(tmp_path.iterdir()) == []


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no bundle here"):
        Bundle.load(tmp_path)


def test_bundles_that_may_have_been_meant_are_named(tmp_path: Path) -> None:
    for name in ("knee", "chest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").touch()
    with pytest.raises(UserError, match=f"did you mean {tmp_path / 'chest'} or {tmp_path / 'knee'}?"):
        Bundle.load(tmp_path)
    with pytest.raises(UserError, match=f"there is no such folder.*did you mean {tmp_path / 'chest'}?"):
        Bundle.load(tmp_path / "chst")


def test_a_wrong_digest_is_refused(copied: Path) -> None:
    data = bytearray((copied / MODEL).read_bytes())
    data[-1] ^= 1
    (copied / MODEL).write_bytes(bytes(data))
    with pytest.raises(DataError, match="SHA-256") as caught:
        Bundle.load(copied)
    assert MODEL in one_line(caught)


def test_a_shortened_file_is_refused(copied: Path) -> None:
    data = (copied / MODEL).read_bytes()
    (copied / MODEL).write_bytes(data[:-4])
    with pytest.raises(DataError, match=r"bytes where bundle\.json declares"):
        Bundle.load(copied)


class Trap:
    def __reduce__(self):
        return os.system, ("touch trap-was-run",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_named_safetensors_is_refused_and_not_run(
    copied: Path, protocol: int, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    replace_file(copied, MODEL, pickle.dumps([Trap(), b"x" * 64], protocol=protocol))
    with pytest.raises(DataError, match="safetensors") as caught:
        Bundle.load(copied)
    one_line(caught)
    assert not (tmp_path / "trap-was-run").exists()


def test_a_huge_header_is_refused(copied: Path) -> None:
    replace_file(copied, MODEL, struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(DataError, match="header") as caught:
        Bundle.load(copied)
    one_line(caught)


def test_a_deeply_nested_header_is_refused(copied: Path) -> None:
    header = b"[" * 100_000
    replace_file(copied, MODEL, struct.pack("<Q", len(header)) + header)
    with pytest.raises(DataError, match="header") as caught:
        Bundle.load(copied)
    one_line(caught)


def test_a_tensor_larger_than_declared_is_refused_before_it_is_read(copied: Path) -> None:
    header = json.dumps({"mean": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    replace_file(copied, MODEL, struct.pack("<Q", len(header)) + header)
    with pytest.raises(DataError, match="tensor") as caught:
        Bundle.load(copied)
    one_line(caught)


def test_a_tensor_that_the_recipe_does_not_make_is_refused(copied: Path) -> None:
    edit(copied, lambda document: document["recipe"]["detector"].update(name="mean-intensity", bands=None))
    with pytest.raises(DataError, match=r"does not fit together|detector"):
        Bundle.load(copied)


def test_a_recipe_that_asks_for_more_memory_than_it_brings_is_refused(copied: Path) -> None:
    edit(copied, lambda document: document["recipe"]["preprocessing"].update(size=[1 << 20, 1 << 20]))
    with pytest.raises(DataError, match="GiB") as caught:
        Bundle.load(copied)
    one_line(caught)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "more.safetensors"])
def test_a_file_list_that_leads_elsewhere_is_refused(copied: Path, name: str) -> None:
    edit(copied, lambda document: document["files"].update({name: document["files"].pop(MODEL)}))
    with pytest.raises(DataError, match="file list") as caught:
        Bundle.load(copied)
    one_line(caught)


def test_a_link_in_place_of_a_file_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / MODEL).rename(tmp_path / "elsewhere")
    (copied / MODEL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="plain file"):
        Bundle.load(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(surprise=1),
        lambda d: d.update(format=3),
        lambda d: d.pop("recipe"),
        lambda d: d["provenance"].update(seed="seven"),
        lambda d: d["files"][MODEL].update(sha256="xyz"),
        lambda d: d["files"][MODEL].update(bytes=-1),
        lambda d: d["calibration"].clear(),
        lambda d: d["companions"].update({"os": {}}),
        lambda d: d["recipe"].update(surprise=1),
    ],
)
def test_another_schema_is_refused(copied: Path, change) -> None:
    edit(copied, change)
    with pytest.raises(DataError) as caught:
        Bundle.load(copied)
    one_line(caught)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format=3),
        lambda d: d.update(surprise=1),
        lambda d: d["recipe"].update(surprise=1),
        lambda d: d["recipe"]["detector"].update(name="of-tomorrow"),
        lambda d: d["provenance"].update(surprise=1),
    ],
)
def test_what_a_newer_version_wrote_is_told_apart_from_damage(copied: Path, change) -> None:
    edit(copied, lambda d: d.update(written_by="99.1.2"))
    edit(copied, change)
    with pytest.raises(DataError, match=r"made by secondread 99\.1\.2, and this is .*; install") as caught:
        Bundle.load(copied)
    assert "damaged" not in str(caught.value)


def test_a_later_format_without_a_version_is_of_a_newer_version(copied: Path) -> None:
    edit(copied, lambda d: d.update(format=3, provenance={}))
    with pytest.raises(DataError, match="a newer version of secondread"):
        Bundle.load(copied)


def test_a_detector_of_which_the_bundle_names_no_package_says_what_to_install(copied: Path) -> None:
    edit(copied, lambda d: d["recipe"]["detector"].update(name="edges"))
    with pytest.raises(DataError, match="its detector 'edges' is not known here; install the package"):
        Bundle.load(copied)


def test_json_that_is_none_is_refused(copied: Path) -> None:
    (copied / "bundle.json").write_text("{" * 2000)
    with pytest.raises(DataError):
        Bundle.load(copied)


def test_scores_are_finite_and_flags_follow_p_values(fitted: Bundle, phantoms) -> None:
    settings = fitted.calibration.settings.model_copy(update={"false_alarm_rate": 0.3})  # of few normals
    often = replace(fitted, calibration=replace(fitted.calibration, settings=settings))
    readings = score(often, phantoms.where("split=test"), workers=0).rows
    scores = np.array([reading.score for reading in readings], dtype=float)
    assert np.isfinite(scores).all()
    rate = 0.3
    assert [reading.flagged for reading in readings] == [
        (reading.p_value or 0) <= rate for reading in readings
    ]


def test_a_bundle_of_pixel_1nn_is_read_back(phantoms, tmp_path: Path) -> None:
    """The length of its tensor file's header is 0x80 in its low byte, as a pickle begins."""
    recipe = Recipe.load("pixel-1nn", set=["preprocessing.size=[32, 32]"])
    cache = tmp_path / "cache"
    saved = fit(recipe, phantoms, tmp_path / "bundle", cache=cache, workers=0, device="cpu", progress=False)
    assert (tmp_path / "bundle" / MODEL).read_bytes()[0] == 0x80
    tested = phantoms.where("split=test")
    assert [reading.score for reading in score(Bundle.load(tmp_path / "bundle"), tested, workers=0).rows] == [
        reading.score for reading in score(saved, tested, workers=0).rows
    ]
