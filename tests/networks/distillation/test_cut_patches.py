import torch

from secondread.networks.distillation.cut_patches import cut_patches


def ramp(*size):
    """Images whose value is the row of a pixel, and the column."""
    grids = torch.meshgrid(*[torch.arange(length, dtype=torch.float32) for length in size], indexing="ij")
    return torch.stack(grids)[None]


def cut(images, centre, spacing, side, coarsest=1.0):
    return cut_patches(images, torch.tensor([centre]), torch.tensor([spacing]), side, coarsest)


def test_a_patch_at_the_images_own_scale_is_a_piece_of_it():
    images = ramp(20, 30)
    torch.testing.assert_close(cut(images, (9.5, 12.5), 1.0, 5), images[..., 7:12, 10:15])
    volume = ramp(8, 9, 10)
    torch.testing.assert_close(cut(volume, (4.5, 4.5, 6.5), 1.0, 3), volume[..., 3:6, 3:6, 5:8])


def test_a_patch_of_wider_spacing_averages_and_of_narrower_interpolates():
    images = ramp(20, 30)
    torch.testing.assert_close(
        cut(images, (9.0, 12.0), 2.0, 3, coarsest=2.0)[0, 0, :, 0], torch.tensor([6.5, 8.5, 10.5])
    )
    torch.testing.assert_close(cut(images, (9.5, 12.0), 0.5, 3)[0, 0, :, 0], torch.tensor([8.5, 9.0, 9.5]))


def test_a_patch_is_moved_into_its_image():
    images = ramp(20, 30)
    torch.testing.assert_close(cut(images, (-3.0, 40.0), 1.0, 5), images[..., :5, -5:])


def test_each_image_has_a_place_and_a_scale_of_its_own():
    images = ramp(20, 30).repeat(2, 1, 1, 1)
    centres, spacing = torch.tensor([[9.5, 12.5], [5.5, 8.5]]), torch.tensor([1.0, 1.0])
    found = cut_patches(images, centres, spacing, 3, 1.0)
    torch.testing.assert_close(found[1], images[1, :, 4:7, 7:10])
