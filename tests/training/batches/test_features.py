import numpy as np
import pytest
import torch

from secondread.scoring.image_source import ArraySource
from secondread.scoring.one_process import OneProcess
from secondread.scoring.state_digest import state_digest
from secondread.training.batches.frozen_features import features_key, frozen_features


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).normal(size=(7, 1, 4, 4)))


def fabric() -> OneProcess:
    return OneProcess(torch.device("cpu"), bf16=False)


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


def test_damaged_or_exchanged_features_are_computed_again(source, tmp_path):
    places = [tmp_path / "stage-normal", tmp_path / "stage-validation"]
    whole = {}
    for number, place in enumerate(places):
        kept = frozen_features(lambda x, n=number: (x + n,), source, place, fabric(), batch_size=3)
        whole[place] = kept.rows(range(7))[0]
    draw = np.random.default_rng(0)
    names = ("output-00.npy", "form.json")
    held = {(place, name): (place / name).read_bytes() for place in places for name in names}
    computed = 0
    for _ in range(4):
        for (place, name), data in held.items():
            at = int(draw.integers(len(data)))
            for damaged in (
                data[:at] + bytes([data[at] ^ (1 << int(draw.integers(8)))]) + data[at + 1 :],
                data[:at] + bytes(len(data[at : at + 40])) + data[at + 40 :],
                data[:at],
                data + b"\0",
            ):
                if damaged == data:
                    continue
                (place / name).write_bytes(damaged)
                n = places.index(place)
                kept = frozen_features(lambda x, n=n: (x + n,), source, place, fabric(), batch_size=3)
                assert torch.equal(kept.rows(range(7))[0], whole[place]), (name, at)
                computed += 1
    assert computed > 40
    for name in names:
        for place, other in zip(places, places[::-1], strict=True):
            (place / name).write_bytes(held[other, name])
    for number, place in enumerate(places):
        kept = frozen_features(lambda x, n=number: (x + n,), source, place, fabric(), batch_size=3)
        assert torch.equal(kept.rows(range(7))[0], whole[place])


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
