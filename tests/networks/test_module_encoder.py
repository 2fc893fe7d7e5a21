"""Networks of a user's own as encoders."""

import numpy as np
import pytest
import torch
from made_packages import forget, install
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from secondread.bundles.bundle import Bundle
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.detectors.blocks.encoder_settings import build_encoder, encoder_ranks
from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.networks.cells import Cells, cells_of
from secondread.networks.encoder import map_sizes
from secondread.networks.encoders import ENCODERS
from secondread.networks.encoders.module import ModuleSettings
from secondread.recipes.recipe import Recipe
from secondread.registry.outside import allow

CODE = """
from torch import nn


class Network(nn.Module):
    def __init__(self, width, rank):
        super().__init__()
        convolution = nn.Conv2d if rank == 2 else nn.Conv3d
        self.stem = convolution(3, width, 3, stride=2, padding=1)
        self.body = nn.Sequential(nn.ReLU(), convolution(width, 2 * width, 3, stride=2, padding=1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * width, 10)
        self.unused = nn.Linear(1, 1)

    def forward(self, x):
        return self.head(self.pool(self.body(self.stem(x))).flatten(1))


def network(width=4, rank=2):
    return Network(width, rank)


def levels():
    class Levels(Network):
        def forward(self, x):
            x = self.stem(x)
            return [x, self.body(x)]

    return Levels(4, 2)


def enlarged():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Upsample(scale_factor=2))


def nothing():
    return 3
"""
PLACE = "my_network:network"


@pytest.fixture
def package(tmp_path, monkeypatch):
    marker = install(tmp_path / "site", "my_network", CODE, monkeypatch)
    allow([PLACE, "my_network:levels", "my_network:enlarged", "my_network:nothing"])
    return marker


def encoder_of(place=PLACE, rank=2, layers=("stem", "body"), pretrained=False, channels=1, **settings):
    torch.manual_seed(0)
    settings = ModuleSettings(module=place, **settings)
    return build_encoder(settings, rank, channels, pretrained=pretrained, layers=layers)


def test_maps_are_the_outputs_of_the_named_submodules(package):
    encoder = encoder_of(arguments={"width": 6}, mean=(0.5, 0.4, 0.3), deviation=(0.5, 0.25, 0.2))
    images = torch.rand(2, 3, 24, 32)
    stem, body = encoder(images)
    assert encoder.channels == (6, 12)
    x = (images - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 0.2]).view(3, 1, 1)
    torch.testing.assert_close(stem, encoder.network.stem(x))
    torch.testing.assert_close(body, encoder.network.body(encoder.network.stem(x)))
    assert not any(parameter.requires_grad for parameter in encoder.train().parameters())
    assert not any(module.training for module in encoder.modules())


def test_nothing_behind_the_last_layer_is_computed(package):
    encoder = encoder_of(layers=("stem",))
    encoder.network.body.register_forward_hook(lambda *_: pytest.fail("was called"))
    assert encoder(torch.rand(1, 1, 16, 16))[0].shape == (1, 4, 8, 8)


def test_without_layers_the_networks_own_maps_are_taken(package):
    images = torch.rand(1, 1, 16, 16)
    for one, other in zip(
        encoder_of("my_network:levels", layers=None)(images), encoder_of()(images), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_cells_are_followed_or_evenly_spread(package):
    assert cells_of(encoder_of(), 1, (32, 32)) == (
        Cells((0.0, 0.0), (2.0, 2.0)),
        Cells((0.0, 0.0), (4.0, 4.0)),
    )
    with pytest.raises(ValueError, match=r"is not known .*; set encoder\.cells to even"):
        cells_of(encoder_of("my_network:enlarged", layers=None), 1, (8, 8))
    even = encoder_of("my_network:enlarged", layers=None, cells="even")
    assert cells_of(even, 1, (8, 8)) == (Cells((-0.25, -0.25), (0.5, 0.5)),)


def test_a_network_of_volumes_takes_them_and_one_of_pictures_reads_slices(package):
    volumes = torch.rand(1, 1, 8, 16, 16)
    own = encoder_of(rank=3, volumes=True, arguments={"rank": 3}, layers=("body",))
    sliced = encoder_of(rank=3, layers=("body",))
    assert own(volumes)[0].shape == sliced(volumes)[0].shape == (1, 8, 2, 4, 4)
    assert map_sizes(own, 1, (8, 16, 16)) == map_sizes(sliced, 1, (8, 16, 16)) == ((2, 4, 4),)
    assert cells_of(own, 1, (8, 16, 16)) == (Cells((0.0,) * 3, (4.0,) * 3),)
    assert encoder_ranks(ModuleSettings(module=PLACE, volumes=True)) == {3}


def test_weights_are_a_state_dict_whose_digest_is_kept(package, tmp_path):
    from my_network import network

    state = network().state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    encoder = encoder_of(pretrained=True, weights=str(tmp_path / "mine.safetensors"))
    assert torch.equal(encoder.network.stem.weight, state["stem.weight"])
    assert encoder.weights_file.path.name == "mine.safetensors"
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="these are not weights of my_network:network"):
        encoder_of(pretrained=True, weights=str(tmp_path / "other.safetensors"))


def test_a_bundle_imports_the_code_only_where_a_person_allows_it(package, tmp_path, monkeypatch):
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {
                "name": "k-nn", "k": 2, "layers": ["body"],
                "encoder": {"name": "module", "module": PLACE, "arguments": {"width": 5}},
            },
        }
    )  # fmt: skip
    manifest = make_phantoms(tmp_path / "phantoms", seed=0, n_normal=12, n_abnormal=2, size=(32, 32))
    forget("my_network", monkeypatch)  # the recipe is the person's word
    bundle = fit(recipe, manifest, tmp_path / "bundle", workers=0, progress=False)
    assert [(code.kind, code.place) for code in bundle.provenance.code] == [("network", PLACE)]
    package.unlink()
    forget("my_network", monkeypatch)
    with pytest.raises(UserError, match=f"the network {PLACE} of my-network 1.2, which nobody allowed"):
        Bundle.load(tmp_path / "bundle")
    assert not package.exists()
    images = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    found = Bundle.load(tmp_path / "bundle", allow=[PLACE]).judge(images)
    np.testing.assert_array_equal(found.scores, bundle.judge(images).scores)


def test_what_cannot_be_is_told_in_one_line(package, monkeypatch):
    cases = [
        ({"layers": ("stem", "nose")}, ValueError, "no submodule 'nose'; it has stem, body"),
        ({"layers": ("unused", "stem")}, ValueError, "does not call its submodule 'unused'"),
        ({"layers": None}, ValueError, "gives a Tensor of 2 axes, and maps are tensors of 4; set layers"),
        ({"place": "my_network:nothing"}, UserError, "makes a int, and an encoder needs a torch.nn.Module"),
        ({"arguments": {"wide": 3}}, UserError, "makes no network .TypeError"),
        ({"arguments": {"rank": 3}}, ValueError, "gives no maps of images of side 224"),
        ({"channels": 2}, ValueError, "takes 3 channels, and preprocessing gives 2"),
        ({"place": ""}, ValueError, "set encoder.module"),
    ]
    for given, kind, line in cases:
        with pytest.raises(kind, match=line):
            encoder_of(**given)
    forget("my_network", monkeypatch)
    with pytest.raises(UserError, match=f"the network {PLACE} is code from outside .* --allow-code {PLACE}"):
        encoder_of()
    with pytest.raises(ValidationError):
        ModuleSettings(arguments={"width": [1, 2]})


def test_timm_is_told_how_it_is_had():
    with pytest.raises(UserError, match="timm cannot be imported without torchvision"):
        ENCODERS.chosen("timm", "encoder.name")


def test_the_settings_own_layer_is_taken_where_a_detector_names_none(package):
    assert encoder_of(layers=None, layer="stem").channels == (4,)
    assert isinstance(encoder_of().network, nn.Module)
