import pytest
import torch

from secondread.detectors.blocks.erased_boxes import box_side, in_box


@pytest.mark.parametrize(
    ("size", "share", "side"), [((64, 64), 0.024, 10), ((16, 16, 16), 1 / 8, 8), ((4, 64), 1.0, 4)]
)
def test_a_box_takes_its_share_and_fits_into_the_image(size, share, side):
    assert box_side(size, share) == side


def test_boxes_have_their_sides_reach_every_edge_and_none_is_drawn_for_zero():
    sides = torch.tensor([0, 3, 5] * 60)
    found = in_box(sides, torch.Generator().manual_seed(0), (6, 6, 6))
    assert found.flatten(1).sum(dim=1).tolist() == [0, 27, 125] * 60
    for axis in range(3):
        ends = found[1::3].movedim(2 + axis, -1)
        assert ends[..., 0].any()
        assert ends[..., -1].any()


def test_one_seed_draws_the_same():
    sides = torch.full((4,), 3)
    first, again = (in_box(sides, torch.Generator().manual_seed(5), (9, 9)) for _ in range(2))
    assert torch.equal(first, again)
