import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from scipy.spatial.distance import cdist

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.contract import Batch
from secondread.detectors.features.patchcore import PatchCore, PatchCoreSettings

POSITIONS = 16
"""Of a ResNet-18's map of stride 8, for 32×32 images."""


def make(seed=0, **changes):
    form = PatchCore.tiny(2)
    settings = {**form.settings.model_dump(), "pool": 1000, "bank": 200, **changes}
    torch.manual_seed(seed)
    return PatchCore(PatchCoreSettings.model_validate(settings), form.channels, form.size).eval()


def patches_of(detector, images):
    return torch.stack(list(detector._patches(images)))


def averaged(row, length):
    """Adaptive averaging of one axis, cell by cell."""
    n = len(row)
    return [row[at * n // length : -(-(at + 1) * n // length)].mean() for at in range(length)]


@torch.no_grad()
def test_patch_vectors_are_those_of_the_authors_code_but_for_where_coarse_cells_look():
    detector = make()
    image = blobs(1, (32, 32))
    layers = [layer[0].numpy() for layer in detector.encoder(image)]
    rows = []
    for layer in layers:
        padded = np.pad(layer, ((0, 0), (1, 1), (1, 1)))
        h, w = layer.shape[1:]
        rows.append(
            np.array(
                [
                    [averaged(padded[:, y : y + 3, x : x + 3].reshape(-1), 32) for x in range(w)]
                    for y in range(h)
                ]
            )
        )
    # a ResNet's cells lie at 0, 8, 16, 24 and at 0, 16: the coarser ones are met, halfway and beyond the last
    along = np.array([[1, 0], [0.5, 0.5], [0, 1], [0, 1]])
    rows[1] = np.einsum("ai,bj,ijc->abc", along, along, rows[1])
    both = np.concatenate(rows, axis=2).reshape(POSITIONS, 64)
    expected = np.array([averaged(row, 32) for row in both])
    np.testing.assert_allclose(patches_of(detector, image)[0], expected, rtol=1e-4, atol=1e-5)


def test_score_and_map_are_those_of_every_pair_of_patches():
    detector = make(smoothing=0.0, neighbours=4)
    fit(detector, blobs(20, (32, 32)))
    images = blobs(3, (32, 32), seed=5)
    scores = score(detector, images)
    bank = detector.bank.double().numpy()
    for number, patches in enumerate(patches_of(detector, images).double().numpy()):
        distances = cdist(patches, bank)
        nearest = distances.min(axis=1)
        worst = nearest.argmax()
        star = distances[worst].argmin()
        around = np.argsort(cdist(bank[star : star + 1], bank)[0])[:4]
        assert star in around
        weight = 1 - np.exp(nearest[worst]) / np.exp(distances[worst, around]).sum()
        assert float(scores.parts["distance"].values[number]) == pytest.approx(
            weight * nearest[worst], rel=1e-4
        )
        shown = nearest.reshape(4, 4)
        shown = np.stack([np.interp(range(32), range(0, 32, 8), row) for row in shown])
        shown = np.stack([np.interp(range(32), range(0, 32, 8), row) for row in shown.T]).T
        np.testing.assert_allclose(scores.maps["distance"][number, 0], shown, rtol=1e-3, atol=1e-5)


def test_without_neighbours_the_score_is_the_largest_distance():
    detector = make(smoothing=0.0, neighbours=0)
    fit(detector, blobs(20, (32, 32)))
    images = blobs(3, (32, 32), seed=5)
    distances = [
        cdist(patches, detector.bank).min(axis=1).max() for patches in patches_of(detector, images).numpy()
    ]
    np.testing.assert_allclose(score(detector, images).parts["distance"].values, distances, rtol=1e-4)


def test_the_bank_has_its_share_of_the_patches_and_at_most_its_bound():
    few, many = make(share=0.1), make(share=0.9, bank=50)
    fit(few, blobs(20, (32, 32)))
    fit(many, blobs(20, (32, 32)))
    assert len(few.bank) == 32 == round(0.1 * 20 * POSITIONS)
    assert len(many.bank) == 50
    assert int(few.seen) == 20 * POSITIONS
    assert few.notes() == ()


def test_a_small_pool_is_not_exceeded_and_still_covers_every_normal_patch():
    images = blobs(40, (32, 32))
    bounded, whole = make(pool=80, bank=20), make(bank=20)
    held = []
    for detector in (bounded, whole):
        for part in images.split(3):
            detector.collect({"normal": Batch(part)})
            held.append((detector, detector.pool.filled))
        detector.finish()
    assert max(filled for detector, filled in held if detector is bounded) <= 80
    assert bounded.pool is None
    patches = patches_of(whole, images).flatten(0, 1)
    radii = [float(torch.cdist(patches, d.bank).amin(dim=1).max()) for d in (bounded, whole)]
    assert radii[0] <= 1.5 * radii[1]
    assert radii[0] <= float(bounded.radius) * (1 + 1e-4)
    assert radii[1] <= float(whole.radius) * (1 + 1e-4)
    assert bounded.notes()[0].startswith("patchcore keeps 20 of 640 patch vectors, chosen from a pool of 80;")


def test_one_seed_gives_one_bank_whatever_the_batches():
    first, again, other = make(pool=80, bank=20), make(pool=80, bank=20), make(3, pool=80, bank=20)
    images = blobs(30, (32, 32))
    fit(first, images, batch_size=8)
    fit(again, images, batch_size=8)
    assert torch.equal(first.bank, again.bank)
    assert not torch.equal(first.projection, other.projection)


def test_padding_does_not_enter_the_score():
    detector = make(smoothing=0.0, neighbours=0)
    fit(detector, blobs(20, (32, 32)))
    image = blobs(1, (32, 32), seed=5)
    distances = score(detector, image).maps["distance"]
    valid = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    valid[..., :8, :8] = True
    found = score(detector, image, valid).parts["distance"].values
    torch.testing.assert_close(found, distances[0, 0, :1, 0])


def test_padding_does_not_enter_the_bank_and_has_the_lowest_distance_in_the_map():
    images, valid = blobs(20, (32, 32)), torch.ones(20, 1, 32, 32, dtype=torch.bool)
    images[..., 16:], valid[..., 16:] = 0, False
    detector = make(smoothing=0.0, neighbours=0, share=1.0)
    detector.collect({"normal": Batch(images, valid)})
    detector.finish()
    assert int(detector.seen) == len(detector.bank) == 20 * POSITIONS // 2
    detector.eval()
    patches = patches_of(detector, images[:1])[0].view(4, 4, -1)
    padding = float(torch.cdist(patches[:, 3], detector.bank).amin())
    shown = score(detector, images[:1], valid[:1]).maps["distance"]
    assert padding > 1e-3
    assert float(shown[..., 24:].max()) == float(shown.min())


def test_a_lesion_raises_the_score():
    detector = make(dimensions=128)
    fit(detector, blobs(60, (32, 32)))
    healthy = score(detector, blobs(8, (32, 32), seed=9)).parts["distance"].values
    ill = score(detector, blobs(8, (32, 32), seed=9, lesion=True)).parts["distance"].values
    assert (ill > healthy).all()


@pytest.mark.parametrize(
    ("encoder", "grid", "layers"),
    [
        ("wide_resnet50_2", (28, 28), ("layer2", "layer3")),
        ("squeezenet1_1", (27, 27), ("features.7", "features.12")),
    ],
)
def test_an_encoder_brings_its_layers_of_strides_8_and_16(encoder, grid, layers):
    with torch.device("meta"):
        settings = PatchCoreSettings(encoder=EncoderSettings(name=encoder))
        detector = PatchCore(settings, 1, (224, 224), pretrained=False)
    assert detector.grid == grid
    assert detector.encoder.layers == layers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pool": 500}, "at least 4 times the bank, 800"),
        ({"neighbourhood": 2}, "should be odd"),
        ({"encoder": {"name": "conv"}}, "pretrained weights, not conv"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)
