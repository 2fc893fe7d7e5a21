from __future__ import annotations

import gc
import random
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collecting import InTurn, in_order
from compiled_code import calls, compiled, threads  # noqa: F401  (fixtures)
from shares import share_of
from temporary import write_in_memory
from work_units import ByFile, long_units_first

if TYPE_CHECKING:
    from archive import Archive
    from postgres_server import PostgresServer
    from xdist.remote import Producer

    from secondread.bundles.bundle import Bundle
    from secondread.cohorts.manifest import Manifest
    from secondread.recipes.recipe import Recipe


NUMERICAL = frozenset(
    {
        "anomalies",
        "calibration",
        "detectors",
        "estimators",
        "flows",
        "laws",
        "networks",
        "previews",
        "readings",
        "scoring",
        "training",
    }
)
"""The folders whose tests rest on floating-point arithmetic: they run in every form of `make processors`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", metavar="K/N", help="of the chosen tests the K-th of N shares alone")


def pytest_configure() -> None:
    write_in_memory()


def pytest_runtest_setup() -> None:
    """Each test draws what it draws by itself, whatever ran before it in this process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """What is collected, and all that it imports, lives until the end: the garbage collector need never walk
    through it."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    """Where no other way of sharing out the tests is asked for."""
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Dir | None:
    if path != Path(__file__).parent or not hasattr(parent.config, "workerinput"):
        return None
    return InTurn.from_parent(parent, path=path)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    here = Path(__file__).parent
    files = {item.path for item in items}
    numerical = {
        file for file in files if file.is_relative_to(here) and file.relative_to(here).parts[0] in NUMERICAL
    }
    for item in items:
        if item.path in numerical:
            item.add_marker(pytest.mark.numerical)
    yield  # -m and -k choose among them
    if share := config.getoption("share"):
        items[:], others = share_of(items, share)
        config.hook.pytest_deselected(items=others)
    if hasattr(config, "workerinput"):
        in_order(items)
        long_units_first(items)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' real data, beside the repository; tests that use it skip where it is missing."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared development data is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A real PACS, empty when a worker's tests begin; they share it."""
    from archive import Archive
    from orthanc_server import OrthancServer, missing

    if reason := missing():
        pytest.skip(reason)
    with OrthancServer(tmp_path_factory.mktemp("orthanc")) as server:
        yield Archive(server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL; each test asks it for an empty database."""
    from postgres_server import PostgresServer, missing

    if reason := missing():
        pytest.skip(reason)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A small recipe that is fitted in a moment."""
    from secondread.recipes.recipe import Recipe

    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": "spectrum", "bands": 8},
            "cohorts": {"validation": 0.2, "calibration": 0.3},
        }
    )


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Small films: 30 normal for training, 6 normal and 6 abnormal for the test."""
    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.phantoms.make import make_phantoms

    folder = tmp_path_factory.mktemp("phantoms")
    return Manifest.read(make_phantoms(folder, seed=1, n_normal=36, n_abnormal=6, size=(48, 48)))


@pytest.fixture(scope="session")
def fitted(recipe: Recipe, phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The recipe fitted on the phantoms, saved."""
    from secondread.fitting.fit import fit

    folder = tmp_path_factory.mktemp("fitted")
    return fit(
        recipe, phantoms, folder / "bundle", cache=folder / "cache", workers=0, device="cpu", progress=False
    )


@pytest.fixture
def fast_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of which it was found that it is faster in bf16 than in float32."""
    from secondread.scoring.bf16_speed import bf16_speed

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    monkeypatch.setenv("HOME", str(tmp_path / "machine"))
    monkeypatch.delenv("SECONDREAD_PRECISION", raising=False)
    bf16_speed.cache_clear()
    file = bf16_speed().file
    assert file is not None
    file.write_text('{"convolution": 3.0, "product": 3.0}')
    bf16_speed.cache_clear()
    yield
    bf16_speed.cache_clear()


@pytest.fixture(scope="session")
def mapping_bundle(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A detector that gives maps, hardly trained."""
    from secondread.fitting.fit import fit
    from secondread.recipes.recipe import Recipe

    folder = tmp_path_factory.mktemp("maps")
    recipe = Recipe.load(
        "aeflow-conv",
        set=[
            "preprocessing.size=[32, 32]", "detector.encoder.widest=16", "detector.flow.blocks=2",
            "detector.flow.hidden=8", "stages.autoencoder.epochs=1", "stages.flow.epochs=1",
            "calibration.complexity=residual",
            "precision=float32",
        ],
    )  # fmt: skip
    return fit(recipe, phantoms, folder / "bundle", cache=folder / "cache", workers=0, progress=False)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOD's loops as they stand in Python, where it is installed: to compile one takes some seconds."""
    if find_spec("pyod") is None:
        return
    from pyod.models import hbos
    from pyod.utils import stat_models

    for module, name in (
        (hbos, "_calculate_outlier_scores"),
        (stat_models, "_pairwise_distances_no_broadcast_helper"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name).py_func)


@pytest.fixture
def copied(fitted: Bundle, tmp_path: Path) -> Path:
    """A bundle on disk that a test may damage."""
    return Path(fitted.save(tmp_path / "copy").path or "")
