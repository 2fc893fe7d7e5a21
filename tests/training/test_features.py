import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from secondread.training.data import ArraySource
from secondread.training.features import features_key, frozen_features, state_digest


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).normal(size=(7, 1, 4, 4)))


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_rows_come_back_as_float32_within_half_precision(source, tmp_path):
    kept = frozen_features(lambda x: (x, x.mean((2, 3))), source, tmp_path, fabric(), batch_size=3)
    images, means = kept.rows(np.array([6, 0, 3]))
    assert images.dtype == means.dtype == torch.float32
    torch.testing.assert_close(images, torch.from_numpy(source.images[[6, 0, 3]]), rtol=1e-3, atol=1e-4)
    assert means.shape == (3, 1)


def test_bfloat16_comes_back_bit_by_bit(source, tmp_path):
    kept = frozen_features(lambda x: (x.bfloat16(),), source, tmp_path, fabric(), batch_size=3)
    assert torch.equal(kept.rows(range(7))[0], torch.from_numpy(source.images).bfloat16().float())


def test_what_half_precision_cannot_hold_is_kept_in_float32(source, tmp_path):
    kept = frozen_features(lambda x: (x * 1e6,), source, tmp_path, fabric(), batch_size=3)
    assert torch.equal(kept.rows(range(7))[0], torch.from_numpy(source.images) * 1e6)


def test_a_pass_that_was_cut_short_starts_again(source, tmp_path):
    class Cut(Exception):
        pass

    def cut(images: int) -> None:
        raise Cut

    with pytest.raises(Cut):
        frozen_features(lambda x: (x,), source, tmp_path, fabric(), batch_size=3, advance=cut)
    kept = frozen_features(lambda x: (x + 1,), source, tmp_path, fabric(), batch_size=3)
    torch.testing.assert_close(
        kept.rows([5])[0], torch.from_numpy(source.images[[5]] + 1), rtol=1e-3, atol=1e-3
    )


def test_the_key_follows_the_weights_the_images_and_the_precision(source):
    module = torch.nn.Linear(2, 2)
    before = features_key("flow", module, source.digests, "bf16")
    assert before == features_key("flow", module, source.digests, "bf16")
    assert before != features_key("flow", module, source.digests, "float32")
    assert before != features_key("flow", module, source.digests[1:], "bf16")
    digest = state_digest(module.state_dict())
    with torch.no_grad():
        module.bias += 1
    assert digest != state_digest(module.state_dict())
