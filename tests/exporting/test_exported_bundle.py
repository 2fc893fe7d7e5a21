from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.calibration.conformal import spread
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import DataError, UserError
from secondread.images.read import read_image
from secondread.readings.score import score
from secondread.tables import read_text

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from secondread.exporting.export import export
from secondread.exporting.exported import Exported
from secondread.exporting.load import load_model
from secondread.exporting.whole_path import compare_on

TORCH_IS_MISSING = """
import sys
sys.modules["torch"] = None
from secondread.cli.main import main
sys.argv[0] = "secondread"
try:
    main()
finally:
    print([name for name in sys.modules if name.partition(".")[0] == "torch"], file=sys.stderr)
"""
WHAT_ONE_FILM_NEEDS_NOT = """
import atexit, sys
heavy = ("torch", "scipy", "yaml", "matplotlib", "pandas", "secondread.cohorts.listing.index")
atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))
from secondread.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def exported(mapping_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(mapping_bundle, tmp_path_factory.mktemp("exported") / "exported")


@pytest.fixture(scope="module")
def damaged(fitted: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported bundle that tests may change; each puts it back."""
    return Path(export(fitted, tmp_path_factory.mktemp("damaged") / "exported").path or "")


def without_torch(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TORCH_IS_MISSING, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_film_is_read_without_what_only_folders_recipes_and_decoders_need(
    exported: Exported, phantoms: Manifest, tmp_path: Path
) -> None:
    film = phantoms.reference(phantoms.rows[0])
    given = ("score", exported.path or "", film, "-o", tmp_path / "readings", "--workers", "1", "-q")
    done = subprocess.run(
        [sys.executable, "-c", WHAT_ONE_FILM_NEEDS_NOT, *map(str, given)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_it_judges_as_the_bundle_does(mapping_bundle: Bundle, exported: Exported, phantoms: Manifest) -> None:
    images = [read_image(phantoms.reference(row)) for row in phantoms.rows[::6]]
    ours, theirs = (model.judge_images(images, maps=True) for model in (mapping_bundle, exported))
    assert np.abs(ours.scores - theirs.scores).max() <= 1e-4 * spread(
        mapping_bundle.calibration.images.scores
    )
    assert np.array_equal(ours.p_values, theirs.p_values)
    assert ours.baselines.keys() == theirs.baselines.keys()
    assert ours.maps is not None
    assert theirs.maps is not None
    np.testing.assert_allclose(theirs.maps, ours.maps, rtol=1e-3, atol=1e-4 * float(np.ptp(ours.maps)))
    np.testing.assert_allclose(theirs.without_complexity, ours.without_complexity, rtol=1e-4)


def test_an_image_is_judged_alike_whatever_comes_with_it(exported: Exported, phantoms: Manifest) -> None:
    images = [read_image(phantoms.reference(row)) for row in phantoms.rows[:3]]
    together = exported.judge_images(images).scores
    assert [float(exported.judge_images([image]).scores[0]) for image in images] == together.tolist()


def test_the_whole_path_is_compared_on_normals(
    mapping_bundle: Bundle, exported: Exported, phantoms: Manifest
) -> None:
    found = compare_on(mapping_bundle, exported, phantoms.where("split=test"), workers=0)
    assert found.images == 6
    assert found.flags == 0
    assert found.score / found.spread <= 1e-4
    assert "checked on 6 normals" in next(found.lines())


def test_what_cannot_be_compared_on_is_named(
    mapping_bundle: Bundle, exported: Exported, phantoms: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("words")
    broken = Row(str(tmp_path / "text.png"), "test", "normal")
    some = replace(phantoms.where("split=test"), rows=(broken, *phantoms.where("split=test").rows))
    lines = list(compare_on(mapping_bundle, exported, some, workers=0).lines())
    assert lines[0].startswith(f"not read: {tmp_path / 'text.png'}: ")
    assert "checked on 6 normals, 1 could not be read" in lines[1]
    with pytest.raises(DataError, match=r"none of 1 normal can be read to check with; first: \S*text.png: "):
        compare_on(mapping_bundle, exported, replace(some, rows=(broken,)), workers=0)
    with pytest.raises(UserError, match="no row has label normal to check with"):
        compare_on(mapping_bundle, exported, replace(some, rows=()), workers=0)


def test_it_is_read_where_torch_is_not_installed(
    exported: Exported, mapping_bundle: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    manifest = Path(phantoms.source or "")
    place = exported.path or Path()
    given = ("score", place, manifest, "--where", "split=test", "-o", "readings", "--maps", "--workers", "0")
    done = without_torch(*given, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("['torch']")  # what says here that it is missing
    header, *rows = read_text((tmp_path / "readings" / "readings.csv").read_text())
    by_torch = score(mapping_bundle, phantoms, tmp_path / "torch", where=["split=test"], maps=True, workers=0)
    assert [row[header.index("path")] for row in rows] == [row.path for row in by_torch.rows]
    width = spread(mapping_bundle.calibration.images.scores)
    for row, reading in zip(rows, by_torch.rows, strict=True):
        assert float(row[header.index("score")]) == pytest.approx(reading.score, abs=1e-4 * width)
        assert float(row[header.index("p_value")]) == reading.p_value
        assert (tmp_path / "readings" / row[header.index("map")]).is_file()
    theirs = read_text((tmp_path / "torch" / "readings.csv").read_text())
    assert header == theirs[0]


def test_it_goes_on_where_it_stopped(exported: Exported, phantoms: Manifest, tmp_path: Path) -> None:
    one, both = phantoms.where("split=test").rows[:2], 2
    paths = [phantoms.reference(row) for row in one]
    score(exported, paths[:1], tmp_path / "readings", workers=0)
    table = tmp_path / "readings" / "readings.csv"
    before = table.read_text()
    assert len(score(exported, paths, tmp_path / "readings", workers=0).rows) == both
    assert table.read_text().startswith(before)


def test_a_bundle_needs_torch_and_says_so(fitted: Bundle, tmp_path: Path) -> None:
    done = without_torch("score", fitted.path or "", "a.png", "-o", "readings", folder=tmp_path)
    assert done.returncode == 2
    assert "torch, which is not installed here" in done.stderr


def test_the_same_export_stays_and_another_is_not_replaced_unasked(
    fitted: Bundle, mapping_bundle: Bundle, damaged: Path
) -> None:
    before = (damaged / "export.json").read_bytes()
    export(fitted, damaged)
    assert (damaged / "export.json").read_bytes() == before
    with pytest.raises(UserError, match="--force"):
        export(mapping_bundle, damaged)
    assert export(fitted, damaged, force=True).bundle == fitted.digest
    assert {path.stat().st_mode & 0o077 for path in damaged.iterdir()} == {0}


def test_nothing_is_written_over_what_is_no_export(fitted: Bundle, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        export(fitted, tmp_path, force=True)


@pytest.mark.parametrize("name", ["model.onnx", "calibration.safetensors", "seen.json"])
def test_a_file_that_was_changed_is_refused(damaged: Path, name: str) -> None:
    file = damaged / name
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(DataError, match=f"{name}: is not the file that export.json declares"):
            Exported.load(damaged)
        file.unlink()
        with pytest.raises(DataError, match="cannot be read"):
            Exported.load(damaged)
    finally:
        file.write_bytes(kept)


def changed(folder: Path, **values: object) -> bytes:
    """Puts other values into `export.json`; returns what it was."""
    file = folder / "export.json"
    kept = file.read_bytes()
    file.write_text(json.dumps(json.loads(kept) | values))
    return kept


def test_one_of_a_newer_version_says_which_version_reads_it(damaged: Path) -> None:
    kept = changed(damaged, format=2, versions={"secondread": "99.1"})
    try:
        with pytest.raises(DataError, match=r"install secondread 99\.1 or later"):
            Exported.load(damaged)
    finally:
        (damaged / "export.json").write_bytes(kept)


def test_a_graph_that_takes_something_else_is_refused(damaged: Path) -> None:
    document = json.loads((damaged / "export.json").read_text())
    kept = changed(damaged, graph=document["graph"] | {"parts": {"other": "upper"}})
    try:
        with pytest.raises(DataError, match="was changed or damaged"):
            Exported.load(damaged)
    finally:
        (damaged / "export.json").write_bytes(kept)


def test_commands_for_bundles_alone_refuse_it(damaged: Path) -> None:
    with pytest.raises(UserError, match="exported bundle, which `score` alone takes"):
        Bundle.load(damaged)
    with pytest.raises(UserError, match="computed on the CPU"):
        load_model(damaged, "cuda")
