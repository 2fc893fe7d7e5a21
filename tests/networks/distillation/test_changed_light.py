import torch

from secondread.networks.distillation.changed_light import changed_light


def generator():
    return torch.Generator().manual_seed(0)


def test_grey_images_change_in_brightness_or_in_contrast_around_their_mean():
    images = 0.3 + 0.2 * torch.rand(64, 1, 6, 6, generator=generator())
    changed = changed_light(images, 0.2, generator())
    mean, after = (x.flatten(1).mean(dim=1) for x in (images, changed))
    spread = (changed.flatten(1).std(dim=1) / images.flatten(1).std(dim=1)).view(-1)
    assert float(spread.min()) > 0.79
    assert float(spread.max()) < 1.21
    contrast = (after - mean).abs() < 1e-4
    assert 16 < int(contrast.sum()) < 48
    torch.testing.assert_close((after / mean)[~contrast], spread[~contrast])


def test_saturation_leaves_the_grey_of_coloured_images():
    images = 0.3 + 0.2 * torch.rand(64, 3, 4, 4, generator=generator())
    changed = changed_light(images, 0.2, generator())
    same = ((changed - images).mean(dim=1).abs().flatten(1).amax(dim=1) < 1e-5).sum()
    assert 8 < int(same) < 40
    assert float((changed - images).abs().amax(dim=(1, 2, 3)).min()) > 0


def test_without_change_images_stay_and_values_stay_in_their_range():
    images = torch.rand(4, 1, 5, 5, generator=generator())
    torch.testing.assert_close(changed_light(images, 0.0, generator()), images)
    wide = changed_light(images, 0.9, generator())
    assert 0 <= float(wide.min()) <= float(wide.max()) <= 1
