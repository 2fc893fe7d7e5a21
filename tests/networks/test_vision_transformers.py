"""Vision transformers, against the forward passes of the classes that they come from."""

import json
import shutil
import sys

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from secondread.detectors.blocks.encoder_settings import build_encoder
from secondread.errors import UserError
from secondread.networks.cells import Cells, cells_of
from secondread.networks.encoder import map_sizes
from secondread.networks.encoders.transformers import TransformersEncoder, TransformersSettings
from secondread.networks.vision_transformers.architecture import FAMILIES, ArchitectureSettings
from secondread.networks.vision_transformers.model_folder import FILES, model_folder

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 20,
    "patch_size": 5,
}
OWN = {
    "dinov2": {"mlp_ratio": 2},
    "dinov2_with_registers": {"mlp_ratio": 2, "num_register_tokens": 3},
    "dinov3_vit": {"intermediate_size": 32, "num_register_tokens": 2, "key_bias": True},
    "vit": {"intermediate_size": 32},
}
MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
NO_PART_OF_THE_PASS = {
    "hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "drop_path_rate",
    "initializer_range", "layerscale_value", "apply_layernorm", "reshape_hidden_states", "encoder_stride",
    "pooler_output_size", "pooler_act", "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale",
    "model_type",
}  # fmt: skip
"""Of training, of the start, of heads that are not there."""


@pytest.fixture(scope="module", autouse=True)
def transformers():
    """Slow to import, so that only who runs a test of it does."""
    return pytest.importorskip("transformers", reason="the extra `transformers` is not installed")


@pytest.fixture(scope="module")
def saved(transformers, tmp_path_factory):
    """A folder with a small model of each family, and the model."""
    found = {}
    for family, (config, kind) in FAMILIES.items():
        torch.manual_seed(0)
        more = {"add_pooling_layer": False} if family == "vit" else {}
        model = getattr(transformers, kind)(
            getattr(transformers, config)(**SMALL, **OWN[family]), **more
        ).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2)
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder)
        statistics = {"image_mean": MEAN, "image_std": DEVIATION, "rescale_factor": 1 / 255}
        (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
        found[family] = (folder, model)
    return found


def encoder_of(folder, layers=None, **settings):
    completed = TransformersEncoder.completed(TransformersSettings(model=str(folder), **settings))
    return build_encoder(completed, 2, 3, pretrained=True, layers=layers)


@torch.no_grad()
def tokens_of(family, model, images, side):
    """The last hidden state of the class's own forward pass, patches alone, as a map."""
    x = (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)
    more = {"interpolate_pos_encoding": True} if family == "vit" else {}
    state = model(x, **more).last_hidden_state
    first = 1 + OWN[family].get("num_register_tokens", 0)
    return state[:, first:].transpose(1, 2).unflatten(2, (side, -1))


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_the_patch_tokens_of_the_classes_own_pass(family, saved):
    folder, model = saved[family]
    images = torch.rand(2, 3, 20, 30)
    (found,) = encoder_of(folder)(images)
    assert found.shape == (2, 16, 4, 6)
    torch.testing.assert_close(found, tokens_of(family, model, images, 4))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_blocks_map_is_that_of_a_model_that_ends_there(family, saved):
    folder, model = saved[family]
    images = torch.rand(1, 3, 20, 20)
    encoder = encoder_of(folder, layers=("blocks.0", "blocks.1.norm", "norm"))
    plain, normed, last = encoder(images)
    assert encoder.channels == (16, 16, 16)
    torch.testing.assert_close(last, tokens_of(family, model, images, 4))
    shorter = encoder_of(folder, layers=("blocks.1.norm",))
    assert sum(p.numel() for p in shorter.parameters()) < sum(p.numel() for p in encoder.parameters())
    (alone,) = shorter(images)
    torch.testing.assert_close(alone, normed)
    # two blocks alone are a model whose last state is that map
    torch.testing.assert_close(alone, tokens_of(family, shorter.model, images, 4))
    norm = shorter.model.norm if hasattr(shorter.model, "norm") else shorter.model.layernorm
    (raw,) = encoder_of(folder, layers=("blocks.0.norm",))(images)
    torch.testing.assert_close(norm(plain.movedim(1, -1)).movedim(-1, 1), raw)


@pytest.mark.parametrize("family", ["dinov2", "dinov3_vit"])
def test_an_image_that_is_no_multiple_of_the_patch_is_continued_at_its_end(family, saved):
    folder, model = saved[family]
    images = torch.rand(1, 3, 18, 22)
    continued = torch.cat((images, images[:, :, -1:].expand(-1, -1, 2, -1)), dim=2)
    continued = torch.cat((continued, continued[..., -1:].expand(-1, -1, -1, 3)), dim=3)
    encoder = encoder_of(folder)
    torch.testing.assert_close(encoder(images)[0], tokens_of(family, model, continued, 4))
    assert map_sizes(encoder, 3, (18, 22)) == ((4, 5),)


@pytest.mark.parametrize("family", FAMILIES)
def test_patch_i_looks_at_the_middle_of_its_pixels(family, saved):
    encoder = encoder_of(saved[family][0], layers=("blocks.0", "norm"))
    assert cells_of(encoder, 1, (20, 30)) == (Cells((2.0, 2.0), (5.0, 5.0)),) * 2
    patch = encoder.model.embeddings.patch_embeddings
    projection = getattr(patch, "projection", patch)
    assert (projection.kernel_size, projection.stride) == ((5, 5), (5, 5))


def test_grey_is_repeated_and_the_model_is_frozen(saved):
    encoder = encoder_of(saved["dinov2"][0]).train()
    grey = torch.rand(1, 1, 20, 20)
    assert torch.equal(encoder(grey)[0], encoder(grey.expand(-1, 3, -1, -1))[0])
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_the_weights_are_known_by_their_digest(saved):
    encoder = encoder_of(saved["vit"][0])
    assert encoder.weights_file.path == saved["vit"][0] / "model.safetensors"
    assert len(encoder.weights_file.sha256) == 64


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_builds_the_network_without_the_folder(family, saved, tmp_path):
    folder, _ = saved[family]
    completed = TransformersEncoder.completed(TransformersSettings(model=str(folder)))
    assert completed.architecture.model_type == family
    written = TransformersSettings.model_validate_json(
        completed.model_copy(update={"model": "gone"}).model_dump_json()
    )
    again = build_encoder(written, 2, 3, pretrained=False)
    encoder = encoder_of(folder)
    again.load_state_dict(encoder.state_dict())
    images = torch.rand(1, 3, 20, 25)
    assert torch.equal(again(images)[0], encoder(images)[0])


def test_bfloat16_differs_by_its_rounding_only(saved):
    encoder, images = encoder_of(saved["dinov3_vit"][0]), torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        exact = encoder(images)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(images)[0]
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.05


def test_volumes_are_read_slice_by_slice(saved):
    completed = TransformersEncoder.completed(TransformersSettings(model=str(saved["dinov3_vit"][0])))
    encoder = build_encoder(completed, 3, 1, pretrained=True)
    (h,) = encoder(torch.rand(1, 1, 10, 15, 20))
    assert h.shape == (1, 16, 2, 3, 4)
    assert map_sizes(encoder, 1, (10, 15, 20)) == ((2, 3, 4),)
    assert cells_of(encoder, 1, (10, 15, 20)) == (Cells((2.0,) * 3, (5.0,) * 3),)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_field_of_a_config_that_the_pass_depends_on_is_left_out(family, transformers):
    fields = set(getattr(transformers, FAMILIES[family][0]).__dataclass_fields__)
    inherited = set(transformers.PreTrainedConfig.__dataclass_fields__)
    known = set(ArchitectureSettings.model_fields) | NO_PART_OF_THE_PASS
    assert {name for name in fields - inherited if not name.startswith("_")} <= known


def test_what_is_missing_is_told_with_the_command_that_gets_it(tmp_path, monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"hf download facebook/nothing config\.json model\.safetensors"):
        model_folder("facebook/nothing", None, download=False)
    with pytest.raises(UserError, match="is no folder here, nor a name on the hub"):
        model_folder("nothing", None, download=False)
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match=r"expected config\.json"):
        model_folder(str(tmp_path / "model"), None, download=False)


def test_a_model_in_the_hubs_cache_is_found_without_the_net(saved, tmp_path, monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--owner--small" / "snapshots" / commit
    shutil.copytree(saved["vit"][0], place)
    (tmp_path / "models--owner--small" / "refs").mkdir()
    (tmp_path / "models--owner--small" / "refs" / "main").write_text(commit)
    assert model_folder("owner/small", None, download=False) == place
    assert model_folder("owner/small", commit, download=False) == place
    (place / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"not all of its files are on this machine; run hf download owner/small"
    ):
        model_folder("owner/small", None, download=False)


def test_where_a_package_is_not_installed_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"run pip install .*\[transformers\]', then hf download"):
        model_folder("owner/small", None, download=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"needs transformers.*run pip install .*\[transformers\]'"):
        ArchitectureSettings(model_type="vit").build()


def test_a_folder_of_the_weights_folder_is_found_by_its_name(saved, tmp_path, monkeypatch):
    folder = saved["vit"][0]
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(folder.parent))
    assert model_folder(f"owner/{folder.name}", None, download=False) == folder


def test_nothing_but_plain_tensors_and_known_models_is_read(saved, tmp_path):
    folder = saved["dinov2"][0]
    for name in FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())

    def with_config(**changes):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))

    with_config(model_type="bert", auto_map={"AutoModel": "code.Model"})
    with pytest.raises(UserError, match="model_type is 'bert'"):
        encoder_of(tmp_path)
    with_config(hidden_size=10**9)
    with pytest.raises(UserError, match="hidden_size is"):
        encoder_of(tmp_path)
    with_config(hidden_size=24)
    with pytest.raises(UserError, match=r"model\.safetensors: "):
        encoder_of(tmp_path)
    with_config()
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"set detector\.encoder\.mean"):
        encoder_of(tmp_path)
    assert encoder_of(tmp_path, mean=MEAN, deviation=DEVIATION).mean.flatten().tolist() == pytest.approx(MEAN)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(UserError, match="no safetensors file"):
        encoder_of(tmp_path, mean=MEAN, deviation=DEVIATION)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match="is a pickle, and is not read"):
        encoder_of(tmp_path)


def test_settings_that_do_not_fit_are_refused_in_words(saved):
    folder = saved["vit"][0]
    with pytest.raises(ValueError, match=r"no layer 'blocks\.3'; there are norm, blocks\.0 to blocks\.2"):
        encoder_of(folder, layers=("blocks.3",))
    with pytest.raises(ValueError, match="in its order"):
        encoder_of(folder, layers=("norm", "blocks.0"))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        build_encoder(TransformersSettings(model=str(folder)), 2, 2, pretrained=False)
    with pytest.raises(ValueError, match=r"set encoder\.model"):
        build_encoder(TransformersSettings(), 2, 1, pretrained=False)
    with pytest.raises(ValidationError, match="model_type"):
        ArchitectureSettings(model_type="clip")
    with pytest.raises(ValidationError, match="no multiple of 3 attention heads"):
        ArchitectureSettings(model_type="vit", hidden_size=10, num_attention_heads=3)
