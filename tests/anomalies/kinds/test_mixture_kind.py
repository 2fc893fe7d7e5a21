import pytest
import torch

from secondread.anomalies.build import build_anomalies
from secondread.errors import UserError


def images(count=60, size=(16, 16)):
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))


def mixture(*names, **settings):
    return build_anomalies({"name": "mixture", "of": [{"name": n} for n in names], **settings}, "here")


def test_each_kind_changes_its_share_of_images_whatever_its_own_share_is():
    make = build_anomalies(
        {"name": "mixture", "share": 0.8, "of": [{"name": "blobs", "share": 0.1}, {"name": "fpi"}]}, "here"
    )
    found = make(images(400), torch.Generator().manual_seed(1))
    shares = torch.bincount(found.classes, minlength=3) / 400
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.4, 0.4]), atol=0.06, rtol=0)
    assert torch.equal(found.classes > 0, found.changed)


def test_an_image_looks_as_its_kind_alone_would_make_it():
    x = images()
    found = mixture("cutpaste", share=1.0)(x, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    torch.rand(60, 2, generator=generator)
    alone = build_anomalies({"name": "cutpaste", "share": 1.0}, "here")(x, generator)
    assert torch.equal(found.images, alone.images)
    assert torch.equal(found.target, alone.target)


def test_what_takes_from_others_takes_from_the_batch_and_donors_go_to_the_rest():
    make = mixture("fpi", "draem", share=1.0)
    assert make.from_others
    textures = torch.full((2, 1, 16, 16), 7.0)
    found = make(images(), torch.Generator().manual_seed(3), donors=textures)
    highest = found.images.flatten(1).amax(dim=1)
    assert (highest[found.classes == 1] <= 1).all()
    assert (highest[found.classes == 2] > 1).any()
    with pytest.raises(UserError, match="another image"):
        mixture("fpi", share=1.0)(images(1), torch.Generator().manual_seed(0))
    assert not mixture("blobs", "draem").from_others


def test_a_mixture_within_a_mixture_is_refused():
    with pytest.raises(UserError, match="mixture itself"):
        mixture("blobs", "mixture")


def test_its_variants_are_its_kinds():
    assert [one.name for one in mixture("fpi", "blobs").settings.variants()] == ["fpi", "blobs"]
