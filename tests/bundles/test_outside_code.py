"""Bundles that were fitted with code from outside, and bundles that only say so: what is imported."""

import json
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from changed_bundles import edit
from made_packages import forget, install
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.errors import DataError, UserError
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe

CODE = """
import torch
from secondread.anomalies.kinds.blobs import Blobs, BlobSettings
from secondread.detectors.contract import Detector, Stage
from secondread.detectors.detector_settings import DetectorSettings
from secondread.networks.encoders.conv import ConvEncoder

class BrightestSettings(DetectorSettings):
    name: str = "brightest"
    pixels: int = 5

class Brightest(Detector):
    Settings = BrightestSettings
    part = "brightness"

    def build(self, *, pretrained):
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))

    def stages(self):
        yield Stage("mean", {"normal": 1.0}, collect=self.collect)

    def collect(self, batches):
        images = batches["normal"].images
        self.count += len(images)
        self.mean += (self.brightness(images) - self.mean).sum() / self.count

    def brightness(self, images):
        return images.flatten(1).topk(self.settings.pixels).values.mean(1)

    def score(self, batch, noise, *, maps):
        return self.one_part(self.brightness(batch.images) - self.mean)

class MyEncoder(ConvEncoder):
    pass

class MyBlobSettings(BlobSettings):
    name: str = "my_methods:MyBlobs"

class MyBlobs(Blobs):
    Settings = MyBlobSettings
"""
PLACE = "my_methods:Brightest"
POINTS = {"secondread.detectors": {"brightest": PLACE}}


def recipe(name: str = PLACE, **detector: object) -> Recipe:
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": name, **detector},
            "cohorts": {"validation": 0.2, "calibration": 0.3},
        }
    )


@pytest.fixture(scope="module")
def fitted_once(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """Bundles that were fitted with the package's code, which is not there any more."""

    @cache
    def of(name: str, offered: bool) -> Path:
        folder = tmp_path_factory.mktemp("outside")
        with pytest.MonkeyPatch.context() as patch:
            points = POINTS if offered else None
            marker = install(folder / "site", "my_methods", CODE, patch, entry_points=points)
            fit(
                recipe(name, pixels=4), phantoms, folder / "bundle", cache=folder / "cache", workers=0,
                device="cpu", progress=False,
            )  # fmt: skip
            assert marker.exists()
            forget("my_methods", patch)
        return folder / "bundle"

    return of


@pytest.fixture
def make(
    fitted_once: Callable[[str, bool], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, Path]]:
    """A bundle fitted with the package, which is installed here, and nothing of it imported or allowed; and a
    file that is there once the package is imported."""

    def made(name: str = PLACE, *, offered: bool = False) -> tuple[Path, Path]:
        bundle = shutil.copytree(fitted_once(name, offered), tmp_path / "bundle")
        points = POINTS if offered else None
        return bundle, install(tmp_path / "site", "my_methods", CODE, monkeypatch, entry_points=points)

    return made


def told(bundle: Path, **named: object) -> str:
    with pytest.raises(UserError) as caught:
        Bundle.load(bundle, **named)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(bundle))
    return line


def test_a_bundle_says_which_code_it_was_fitted_with_and_loads_where_a_person_allows_it(make) -> None:
    bundle, marker = make()
    document = json.loads((bundle / "bundle.json").read_text())
    assert document["provenance"]["code"] == [
        {
            "kind": "detector", "name": PLACE, "place": PLACE, "distribution": "my-methods", "version": "1.2",
        }
    ]  # fmt: skip
    assert "the detector my_methods:Brightest of my-methods 1.2" in told(bundle)
    assert f"--allow-code {PLACE}" in told(bundle)
    assert not marker.exists()
    loaded = Bundle.load(bundle, allow=[PLACE])
    assert marker.exists()
    images = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    expected = np.sort(images.reshape(2, -1))[:, -4:].mean(1) - loaded.detector.mean.item()
    np.testing.assert_allclose(loaded.judge(images).scores, expected, rtol=1e-6)


def test_an_installed_entry_point_needs_no_option(make) -> None:
    bundle, _ = make("brightest", offered=True)
    assert Bundle.load(bundle).provenance.code[0].place == PLACE


def test_a_bundle_that_names_the_place_of_an_installed_entry_point_is_taken(make) -> None:
    bundle, _ = make(offered=True)
    assert Bundle.load(bundle).detector.settings.pixels == 4


def test_where_the_package_is_not_installed_one_line_says_so(make, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, marker = make("brightest", offered=True)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(marker.parent)])
    forget("my_methods", monkeypatch)
    line = told(bundle)
    assert "brightest (my_methods:Brightest) of my-methods 1.2, which is not installed here" in line
    edit(bundle, lambda document: document["provenance"]["code"][0].update(name=PLACE))
    assert "which is not installed here; if you trust it, install it and give" in told(bundle)
    assert "there is no module 'my_methods'" in told(bundle, allow=[PLACE])


def test_another_package_under_the_same_name_is_refused_and_another_version_is_told(
    make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle, marker = make("brightest", offered=True)
    edit(bundle, lambda document: document["provenance"]["code"][0].update(version="1.1"))
    with pytest.warns(UserWarning, match=r"my-methods 1\.1, and here it is of my-methods 1\.2: scores may"):
        Bundle.load(bundle)
    forget("my_methods", monkeypatch)
    marker.unlink()
    edit(bundle, lambda document: document["provenance"]["code"][0].update(place="theirs:Brightest"))
    assert "here brightest is my_methods:Brightest" in told(bundle)
    assert not marker.exists()


def test_commands_take_the_option(make, phantoms: Manifest, tmp_path: Path) -> None:
    bundle, marker = make()
    command = ["score", str(bundle), str(phantoms.source), "-o", str(tmp_path / "out"), "--workers", "0"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert f"--allow-code {PLACE}" in refused.output
    assert not marker.exists()
    assert CliRunner().invoke(app, [*command, "--allow-code", PLACE]).exit_code == 0
    assert (tmp_path / "out" / "readings.csv").exists()


NAMES = [
    "os:system", "subprocess:Popen", "my_methods:Brightest", "my_methods:MyEncoder", "my_methods:nothing",
    "antigravity:Brightest", "../site/my_methods:Brightest", "my_methods :Brightest",
    "my_methods:Brightest\n", "my_methods.__dict__:Brightest", "ｍy_methods:Brightest", 
    "my_methods:Brightest;x",
    "__main__:Brightest",
    "secondread.detectors.trivial.spectrum:Spectrum", "my_methods:" + "B" * 5_000, "brightest",
]  # fmt: skip
SECTIONS: dict[str, Callable[[str], dict[str, object]]] = {
    "detector": lambda name: {"name": name},
    "encoder": lambda name: {"name": "padim", "encoder": {"name": name}},
    "anomalies": lambda name: {"name": "ddad", "anomalies": {"name": name}},
    "backbone": lambda name: {"name": "ddad", "backbone": {"name": name}},
}


@pytest.mark.parametrize(
    ("section", "name"),
    [
        pytest.param(
            section,
            name,
            id=f"{section}-{name[:40]}",
            marks=[] if section == "detector" or name in NAMES[::5] else [pytest.mark.slow],
        )
        for section in SECTIONS
        for name in NAMES
    ],
)
def test_a_bundle_that_names_code_imports_nothing(
    copied: Path, section: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = install(tmp_path / "site", "my_methods", CODE, monkeypatch)
    forget("antigravity", monkeypatch)
    before = set(sys.modules)
    detector = SECTIONS[section](name)
    edit(copied, lambda document: document["recipe"].update(detector=detector))
    with pytest.raises(DataError) as caught:
        Bundle.load(copied)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not marker.exists()
    new = set(sys.modules) - before
    assert {module.partition(".")[0] for module in new} <= {"secondread", "scipy", "sklearn"}


CODES = {
    "os": {"name": "os:system", "place": "os:system"},
    "another place": {"name": "spectrum", "place": "os:system"},
    "an offered name": {"name": "brightest", "place": "os:system"},
    "no place": {"name": "x", "place": "x"},
    "a line break": {"name": PLACE, "place": PLACE + "\n"},
    "a path": {"name": PLACE, "place": "../site/my_methods:Brightest"},
    "a long place": {"name": PLACE, "place": "a" * 500 + ":B"},
    "a command": {"name": PLACE, "place": PLACE, "distribution": "x; rm -r /"},
    "a version": {"name": PLACE, "place": PLACE, "version": "1 --index-url http://x"},
    "another kind": {"name": PLACE, "place": PLACE, "kind": "module"},
    "more": {"name": PLACE, "place": PLACE, "url": "http://x"},
    "not allowed": {"name": PLACE, "place": PLACE},
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_what_a_bundle_says_of_its_code_is_never_enough(
    copied: Path, code: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = install(tmp_path / "site", "my_methods", CODE, monkeypatch, entry_points=POINTS)
    if code["name"] == PLACE:
        marker = install(tmp_path / "site", "my_methods", CODE, monkeypatch)
    edit(copied, lambda document: document["provenance"].update(code=[{"kind": "detector", **code}]))
    with pytest.raises((DataError, UserError)) as caught:
        Bundle.load(copied)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not marker.exists()


def test_a_person_s_own_recipe_may_name_detector_encoder_and_anomalies_from_outside(
    phantoms: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "my_methods", CODE, monkeypatch)
    mine = Recipe.load(
        "aeflow-conv",
        set=[
            "preprocessing.size=[32, 32]",
            "detector.encoder.name=my_methods:MyEncoder",
            "stages.autoencoder.epochs=1", "stages.flow.epochs=1", "stages.flow.watch=[synthetic]",
            "stages.flow.measure.anomalies={name: 'my_methods:MyBlobs', most: 2}",
        ],
    )  # fmt: skip
    bundle = fit(
        mine, phantoms, tmp_path / "bundle", cache=tmp_path / "cache", workers=0, device="cpu", progress=False
    )
    assert type(bundle.detector.encoder).__name__ == "MyEncoder"
    kinds = {(code.kind, code.name) for code in bundle.provenance.code}
    assert kinds == {("encoder", "my_methods:MyEncoder"), ("anomaly", "my_methods:MyBlobs")}
    assert type(Bundle.load(bundle.path).detector.encoder).__name__ == "MyEncoder"
