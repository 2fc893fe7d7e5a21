import json
import re
from pathlib import Path

import pytest
from page_rules import faults
from pixel_gaussian import NAME, PLACE, fit_gaussian
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.detectors import DETECTORS


@pytest.fixture(scope="module", autouse=True)
def _registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DETECTORS.built_in, NAME, PLACE)
        yield


@pytest.fixture(scope="module")
def gaussian(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_gaussian(phantoms, tmp_path_factory.mktemp("gaussian"), (32, 32)).path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["sample", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_the_page_holds_the_images_beside_real_training_images(
    gaussian: Path, phantoms: Manifest, tmp_path: Path
) -> None:
    films = [phantoms.reference(row) for row in phantoms.rows[:2]]
    printed = run(
        gaussian, "-n", 3, "--temperature", 0.5, "--temperature", 1, "--manifest", phantoms.source,
        "--interpolate", *films, "--cache", tmp_path / "cache", "--workers", 0, "-o", tmp_path / "out",
    )  # fmt: skip
    assert printed.strip().endswith("report.html")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert faults(page) == []
    assert page.count('<div class="pair">') == 6 + 6
    assert page.count("<img ") == 2 * 12 + 10
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert not re.search(r"url\((?!#)", page)
    for words in ("not a medical device", "nobody's images", "show training images", "Temperature 0.5"):
        assert words in page
    assert "Between two images" in page
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["digests"]["manifest"] == phantoms.digest
    assert (tmp_path / "out" / "figures" / "distances.png").is_file()


def test_without_a_manifest_thumbnails_stand_beside(gaussian: Path, tmp_path: Path) -> None:
    run(gaussian, "-n", 2, "-o", tmp_path / "out", "-q")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert faults(page) == []
    assert "as a thumbnail" in page
    assert re.search(r"thumbnail \d+<", page)
    assert run(gaussian, "-n", 2, "-o", tmp_path / "out", "-q").strip() == str(tmp_path / "out/report.html")


def test_the_page_of_volumes_shows_three_planes(tmp_path: Path) -> None:
    heads = Manifest.read(
        make_phantoms(tmp_path / "heads", seed=0, rank=3, n_normal=12, n_abnormal=1, size=(16, 20, 24))
    )
    bundle = fit_gaussian(heads, tmp_path, (8, 10, 12)).path
    run(bundle, "-n", 1, "-o", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert faults(page) == []
    assert "1 fictional volume," in page
    assert page.count("<img ") == 2 * 2 * 3


def test_what_is_wrong_is_one_line(fitted: Bundle, gaussian: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    said = run(fitted.path, *out, code=2)
    _, told, able = said.strip().partition("'spectrum' draws no images; detectors that do: ")
    assert told
    assert {"glow-gmm", "glow-posterior", NAME} <= set(able.split(", "))
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    (tmp_path / "text.png").write_text("words")
    said = run(gaussian, *out, "--interpolate", tmp_path / "text.png", tmp_path / "text.png", "-q", code=3)
    assert "text.png" in said
    assert "--temperature" in run(gaussian, *out, "--temperature", -1, code=2)


def test_images_that_are_not_finite_leave_it_partial(
    phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    bundle = fit_gaussian(phantoms, tmp_path_factory.mktemp("overflow"), (32, 32), overflow=True).path
    assert "1 of 2 images are not finite" in run(bundle, "-n", 2, "-o", tmp_path / "out", code=1)
    assert "1 fictional image," in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
