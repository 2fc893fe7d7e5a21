from dataclasses import replace

import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.anomalies.kinds.cutpaste import CutPasteSettings as PastedSettings
from secondread.detectors.contract import Batch
from secondread.detectors.self_supervised.cutpaste import CutPaste, CutPasteSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)
SEEN = {"name": "blobs", "contrast": (2, 3)}


def make(**changes):
    torch.manual_seed(0)
    scratch = {"name": "residual", "width": 8, "blocks": 1, "layer": "layer2"}
    given = {"encoder": scratch, "head": (16,), **changes}
    return CutPaste(CutPasteSettings.model_validate(given), 1, SIZE).eval()


@pytest.fixture(scope="module")
def fitted():
    """On what is easily seen."""
    detector = make(anomalies=SEEN)
    fit(detector, blobs(48, SIZE), steps=60, batch_size=16, lr=1e-2)
    return detector.eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_image_enters_as_it_is_with_a_patch_and_with_a_scar():
    images = blobs(6, SIZE)
    drawn, classes = make().drawn(Batch(images), generator())
    assert classes.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    torch.testing.assert_close(drawn.images[:6], images)
    same = generator()
    for number, form in enumerate(("patch", "scar"), start=1):
        one = PastedSettings(form=form, share=1.0)
        pasted = make(anomalies=one).draw.variants[0](images, same)
        torch.testing.assert_close(drawn.images[6 * number : 6 * (number + 1)], pasted.images)


@pytest.mark.parametrize(
    ("anomalies", "classes"),
    [
        ({"name": "cutpaste", "form": "scar"}, 2),
        ({"name": "anatpaste"}, 2),
        ({"name": "mixture", "of": [{"name": "blobs"}, {"name": "fpi"}]}, 3),
    ],
)
def test_there_is_a_class_for_each_variant_of_the_kind(anomalies, classes):
    detector = make(anomalies=anomalies)
    drawn, found = detector.drawn(Batch(blobs(4, SIZE)), generator())
    assert set(found.tolist()) == set(range(classes))
    assert detector.logits(drawn).shape == (4 * classes, classes)


def test_where_nothing_could_be_drawn_the_image_is_as_it_was():
    black = Batch(torch.zeros(3, 1, *SIZE))
    _, classes = make().drawn(black, generator())
    assert classes.tolist() == [0] * 9
    lonely, classes = make(anomalies={"name": "fpi"}).drawn(Batch(blobs(1, SIZE)), generator())
    assert len(lonely) == 1
    assert classes.tolist() == [0]


def test_padding_is_neither_drawn_on_nor_looked_at():
    detector = make()
    images, valid = blobs(4, SIZE), torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., 16:] = False
    drawn, _ = detector.drawn(Batch(images, valid), generator())
    assert torch.equal(drawn.images[..., 16:], images[..., 16:].repeat(3, 1, 1, 1))
    assert drawn.valid.shape == (12, 1, *SIZE)
    (cells,) = detector.encoder(images)
    torch.testing.assert_close(detector.embedding(Batch(images, valid)), cells[..., :2].mean((2, 3)))


def test_the_loss_is_cross_entropy_over_all_that_enters():
    detector, batch = make(), Batch(blobs(5, SIZE))
    drawn, classes = detector.drawn(batch, generator(3))
    expected = functional.cross_entropy(detector.logits(drawn), classes)
    found = detector.loss({"normal": batch}, generator(3))["classification"]
    torch.testing.assert_close(found, expected)
    ahead = replace(batch, drawn=detector.draw({"normal": batch}, generator(3))["normal"])
    torch.testing.assert_close(detector.loss({"normal": ahead}, generator(4))["classification"], expected)


def test_the_distance_is_mahalanobis_of_the_embeddings_direction_and_the_odds_are_the_classifiers(fitted):
    images = blobs(3, SIZE, seed=7)
    with torch.no_grad():
        embedding = fitted.encoder(images)[0].mean((2, 3))
        logits = fitted.head(embedding)
    u = embedding / embedding.norm(dim=1, keepdim=True)
    expected = ((u - fitted.gaussian.mean) @ fitted.gaussian.whitener.T).norm(dim=1)
    found = score(fitted, images).parts
    torch.testing.assert_close(found["distance"].values, expected)
    p = logits.softmax(dim=1)[:, 0]
    torch.testing.assert_close(found["classifier"].values, ((1 - p) / p).log(), rtol=1e-4, atol=1e-4)
    assert fitted.mixture().weights == {"distance": 1.0}


def test_the_gaussian_is_that_of_the_normals(fitted):
    with torch.no_grad():
        u = functional.normalize(fitted.encoder(blobs(48, SIZE))[0].mean((2, 3)), dim=1)
    torch.testing.assert_close(fitted.gaussian.mean, u.mean(dim=0), rtol=1e-4, atol=1e-5)
    lengths = score(fitted, blobs(48, SIZE)).parts["distance"].values.square()
    assert 0.3 * u.shape[1] < float(lengths.mean()) < 1.2 * u.shape[1]


def test_end_to_end_has_no_gaussian():
    detector = make(score="classifier")
    assert [stage.name for stage in detector.stages()] == ["classification"]
    assert set(score(detector, blobs(2, SIZE)).parts) == {"classifier"}
    assert detector.mixture().weights == {"classifier": 1.0}


def test_it_learns_what_is_drawn_and_says_where_it_has_not(fitted):
    held_out = [Batch(blobs(12, SIZE, seed=5)), Batch(blobs(3, SIZE, seed=6))]
    new = make(anomalies=SEEN)
    before = new.examine(iter(held_out), generator())
    assert before["share of the largest class"] == pytest.approx(1 / 2)
    (warning,) = new.warnings()
    assert "hardly tells what is drawn" in warning
    after = fitted.examine(iter(held_out), generator())
    assert after["accuracy on drawn anomalies"] > 0.7
    assert not fitted.warnings()
    by_class = [after[f"accuracy of class {number}"] for number in range(2)]
    assert after["accuracy on drawn anomalies"] == pytest.approx(sum(by_class) / 2)
    drawn, classes = fitted.drawn(held_out[0], generator())
    with torch.no_grad():
        right = (fitted.logits(drawn).argmax(1) == classes).float()
    only = fitted.examine(iter(held_out[:1]), generator())
    assert only["accuracy on drawn anomalies"] == pytest.approx(float(right.mean()))


def test_the_head_learns_alone_before_a_pretrained_encoder_does():
    pretrained = {"name": "squeezenet1_1", "weights": "random", "layer": "features.4"}
    detector = make(encoder=pretrained, head_first=True)
    head, both, _ = detector.stages()
    assert (head.name, both.name) == ("head", "classification")
    assert {id(part) for part in head.steps[0].trains} == {id(detector.head)}
    assert id(detector.encoder) in {id(part) for part in both.steps[0].trains}
    with pytest.raises(ValueError, match="residual comes untrained; leave it out"):
        make(head_first=True)


def test_without_a_layer_the_encoders_last_is_taken():
    for name, channels in (("efficientnet_lite0", 320), ("resnet18", 512)):
        settings = CutPasteSettings.model_validate({"encoder": {"name": name, "weights": "random"}})
        with torch.device("meta"):
            detector = CutPaste(settings, 1, (64, 64), pretrained=False)
        assert detector.encoder.channels == (channels,)


def test_the_paper_preset_is_resnet_18_with_nine_layers_behind_it():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("cutpaste-paper"), pretrained=False)
    encoder = sum(p.numel() for p in detector.encoder.parameters())
    head = sum(p.numel() for p in detector.head.parameters())
    assert encoder == 11_176_512  # without the 1,000 classes
    layer = 512 * 512 + 3 * 512  # weights, biases, and batch normalisation's two
    assert head == 8 * layer + (512 * 128 + 3 * 128) + (128 * 3 + 3) == 2_175_747
    assert detector.grid == (8, 8)


def test_the_paper_preset_of_anatpaste_tells_two_classes_behind_two_layers():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("anatpaste-paper"), pretrained=False)
    head = sum(p.numel() for p in detector.head.parameters())
    assert head == (512 * 512 + 3 * 512) + (512 * 128 + 3 * 128) + (128 * 2 + 2) == 329_858


def test_a_batch_has_its_share_in_the_running_statistics_of_encoder_and_head():
    for share in (0.1, 0.02):
        detector = make(momentum=share)
        norms = [m for m in detector.modules() if hasattr(m, "running_mean")]
        assert norms
        assert {norm.momentum for norm in norms} == {share}
