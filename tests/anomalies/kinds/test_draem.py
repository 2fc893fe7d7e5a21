import pytest
import torch
from pydantic import ValidationError

from secondread.anomalies.kinds.draem import Draem, DraemSettings
from secondread.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(x, **given):
    seen = {name: given.pop(name) for name in ("donors", "valid", "donors_valid") if name in given}
    return Draem(DraemSettings(**{"share": 1.0, **given}))(x, generator(), **seen)


@pytest.mark.parametrize("size", [(32, 40), (12, 16, 20)])
def test_the_donors_texture_shows_through_by_the_papers_equation(size):
    x = torch.rand(60, 1, *size, generator=generator(1))
    donor = 3 + torch.rand(1, 1, *size, generator=generator(2))
    found = made(x, donors=donor, changes=0)
    betas = []
    for new, own, mask in zip(found.images, x, found.mask, strict=True):
        beta = ((donor[0] - new) / (donor[0] - own))[mask]
        torch.testing.assert_close(beta, beta[:1].expand_as(beta), atol=1e-3, rtol=0)
        betas.append(float(beta[0]))
    assert 0 <= min(betas) < 0.1
    assert 0.7 < max(betas) <= 0.801
    assert torch.equal(found.target, found.mask.float())


def test_masks_have_many_sizes_and_a_lower_threshold_makes_them_larger():
    x = torch.rand(80, 1, 64, 64, generator=generator(1))
    area = made(x).mask.flatten(1).float().mean(dim=1)
    assert 0.02 < float(area.mean()) < 0.25
    assert float(area.max()) > 3 * float(area.median())
    lower = made(x, threshold=0.0).mask.flatten(1).float().mean(dim=1)
    assert float(lower.mean()) == pytest.approx(0.5, abs=0.08)
    assert bool((lower >= area).all())


def test_drawn_textures_keep_to_the_images_values():
    x = 5 * torch.rand(30, 3, 24, 24, generator=generator(1)) - 2
    found = made(x, beta=(0.0, 0.0)).images
    assert bool((found.flatten(1).amax(1) <= x.flatten(1).amax(1) + 1e-6).all())
    assert bool((found.flatten(1).amin(1) >= x.flatten(1).amin(1) - 1e-6).all())


def test_nothing_is_taken_from_a_donors_padding_and_none_at_all_is_refused():
    x = torch.zeros(20, 1, 24, 24)
    donors = 1 + torch.rand(3, 1, 24, 24, generator=generator(1))
    fits = torch.ones(3, 1, 24, 24, dtype=torch.bool)
    fits[..., :12] = False
    found = made(x, donors=donors, donors_valid=fits)
    assert not found.mask[..., :12].any()
    assert bool(found.changed.all())
    with pytest.raises(UserError, match="give at least one"):
        made(x, donors=donors[:0])


@pytest.mark.parametrize("wrong", [{"powers": (5, 2)}, {"changes": 9}, {"beta": (0.5, 0.1)}])
def test_settings_of_the_noise_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        DraemSettings(**wrong)
