import pickle
import sys
from hashlib import sha256

import pytest
import torch
from safetensors.torch import save_file

from secondread.errors import UserError
from secondread.networks.encoders import ENCODERS
from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.squeezenet import SqueezeNet
from secondread.networks.weights.find import WeightsFile, find_weights, weights_folder
from secondread.networks.weights.load import download_weights, load_weights, read_weights
from secondread.networks.weights.sources import SOURCES


@pytest.fixture(autouse=True)
def _no_weights_folder(monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)


@pytest.fixture
def half_precision_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "squeezenet1_1.safetensors"
    save_file({name: tensor.half() for name, tensor in SqueezeNet().state_dict().items()}, path)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_public_squeezenet_weights_load(shared_data, suffix):
    encoder = ENCODERS.find("squeezenet1_1")(weights=shared_data / "weights" / f"squeezenet1_1.{suffix}")
    first = encoder.network.features[0].weight
    stored = read_weights(shared_data / "weights" / f"squeezenet1_1.{suffix}")["features.0.weight"]
    assert first.dtype == torch.float32
    torch.testing.assert_close(first.detach(), stored.float())


def test_half_precision_weights_fill_a_float32_network(half_precision_file):
    network = SqueezeNet()
    read = load_weights(network, "squeezenet1_1", half_precision_file)
    assert read == WeightsFile(half_precision_file, sha256(half_precision_file.read_bytes()).hexdigest())
    stored = read_weights(half_precision_file)["classifier.1.bias"]
    torch.testing.assert_close(network.classifier[1].bias.detach(), stored.float())


def test_the_environment_names_a_folder(half_precision_file, monkeypatch):
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(half_precision_file.parent))
    assert find_weights("squeezenet1_1") == half_precision_file
    with pytest.raises(UserError, match=r"resnet18\.safetensors"):
        find_weights("resnet18")


def test_a_hash_in_the_file_name_is_accepted(tmp_path):
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"")
    assert find_weights("resnet18", tmp_path).name == "resnet18-f37072fd.pth"


def test_without_any_file_the_error_names_the_one_expected(tmp_path):
    with pytest.raises(UserError, match=r"wide_resnet50_2\.safetensors"):
        find_weights("wide_resnet50_2")
    with pytest.raises(UserError, match="nowhere"):
        find_weights("resnet18", tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_the_error_says_where_it_looked_and_how_to_get_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError) as caught:
        find_weights(name, source=ENCODERS.find(name).source)
    said = str(caught.value)
    for words in (
        f"{name}.safetensors",
        str(tmp_path),
        "detector.encoder.weights=FILE",
        "SECONDREAD_WEIGHTS",
    ):
        assert words in said
    assert ("--download-weights" in said) == (name == "resnet18")
    assert ("no safetensors source is known" in said) == (name == "squeezenet1_1")


def test_the_tail_may_be_missing_and_nothing_else(half_precision_file, tmp_path):
    state = read_weights(half_precision_file)
    save_file({k: v for k, v in state.items() if "classifier" not in k}, tmp_path / "headless.safetensors")
    ENCODERS.find("squeezenet1_1")(weights=tmp_path / "headless.safetensors")
    save_file({k: v for k, v in state.items() if "features.12" not in k}, tmp_path / "short.safetensors")
    with pytest.raises(UserError, match=r"features\.12"):
        ENCODERS.find("squeezenet1_1")(weights=tmp_path / "short.safetensors")


def test_weights_of_another_network_are_refused(half_precision_file, tmp_path):
    with pytest.raises(UserError, match="not weights of resnet18"):
        ENCODERS.find("resnet18")(weights=half_precision_file)
    state = read_weights(half_precision_file)
    state["features.0.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "shape.safetensors")
    with pytest.raises(UserError, match="shape"):
        ENCODERS.find("squeezenet1_1")(weights=tmp_path / "shape.safetensors")


def test_a_pickle_named_safetensors_is_refused_in_one_line(tmp_path):
    path = tmp_path / "squeezenet1_1.safetensors"
    path.write_bytes(pickle.dumps({"features.0.weight": [1, 2, 3]}))
    with pytest.raises(UserError, match="not a safetensors file") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


class _Trap:
    """Unpickled, it would write a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, suffix):
    target = tmp_path / "ran"
    torch.save({"x": _Trap(target)}, tmp_path / f"trap.{suffix}")
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / f"trap.{suffix}")
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_download_without_the_hub_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="huggingface-hub"):
        download_weights("resnet18", tmp_path, ENCODERS.find("resnet18").source)


def test_download_of_a_network_without_a_source_says_so(tmp_path):
    with pytest.raises(UserError, match="squeezenet1_1"):
        download_weights("squeezenet1_1", tmp_path, ENCODERS.find("squeezenet1_1").source)


def test_every_pretrained_encoder_has_its_source_in_the_table_that_needs_no_torch():
    kinds = {name: ENCODERS.find(name) for name in ENCODERS}
    sources = {name: kind.source for name, kind in kinds.items() if issubclass(kind, PretrainedEncoder)}
    assert sources == dict(SOURCES)


def test_a_file_in_the_users_own_folder_is_found_without_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(
        UserError, match=r"--download-weights.*pip install .*download.*resnet18\.tv_in1k"
    ) as told:
        find_weights("resnet18", None, SOURCES["resnet18"])
    assert str(weights_folder()) in str(told.value)
    weights_folder().mkdir(parents=True)
    (weights_folder() / "resnet18.safetensors").touch()
    assert find_weights("resnet18", None, SOURCES["resnet18"]).is_relative_to(tmp_path)
