import math

import pytest
import torch

from secondread.networks.quantised.causal_prior import CausalPrior, earlier, redrawn


def prior(grid, codes=5, **changes):
    named = {"width": 4, "blocks": 2, "kernel": 3, "dropout": 0.0, "heads": 2, **changes}
    return CausalPrior(grid, codes, **named).eval()


def test_a_mask_has_what_comes_before_the_middle():
    assert earlier((3, 3), own=False).int().tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert earlier((3, 3), own=True).int().tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert earlier((3, 3, 3), own=False).int().flatten().tolist() == [1] * 13 + [0] * 14


@pytest.mark.parametrize(("grid", "heads"), [((3, 4), 0), ((3, 4), 2), ((2, 3, 3), 2)])
def test_a_code_depends_on_earlier_codes_alone_and_with_attention_on_all_of_them(grid, heads):
    model, codes = prior(grid, heads=heads), torch.randint(5, (1, *grid))
    with torch.no_grad():
        logits = model(codes).flatten(2)
        for place in range(math.prod(grid)):
            other = codes.clone()
            other.view(-1)[place] = (other.view(-1)[place] + 1) % 5
            changed = (model(other).flatten(2) != logits).any(dim=1)[0]
            assert not changed[: place + 1].any()
            if heads:
                assert changed[place + 1 :].all()


def test_the_likelihoods_of_all_maps_of_codes_add_up_to_1():
    model = prior((2, 2), codes=2)
    every = torch.tensor([[(n >> bit) & 1 for bit in range(4)] for n in range(16)]).view(16, 2, 2)
    with torch.no_grad():
        total = (-model.surprise(every).flatten(1).sum(dim=1)).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_the_level_above_is_seen_everywhere_it_covers():
    model = prior((4, 4), heads=0, condition=7)
    codes, above = torch.randint(5, (1, 4, 4)), torch.zeros(1, 2, 2, dtype=torch.long)
    other = above.clone()
    other[0, 1, 1] = 3
    with torch.no_grad():
        changed = (model(codes, above) != model(codes, other)).any(dim=1)[0]
    assert changed[2:, 2:].all()


def test_codes_are_drawn_as_likely_as_the_prior_has_them():
    model = prior((1, 2), codes=3)
    with torch.no_grad():
        blank = torch.zeros(1, 1, 2, dtype=torch.long)
        first = model(blank)[0, :, 0, 0].softmax(dim=0)
        drawn = redrawn(model, blank.expand(3000, 1, 2), torch.rand(3000, 2))
        shares = torch.bincount(drawn[:, 0, 0], minlength=3) / 3000
        torch.testing.assert_close(shares, first, atol=0.04, rtol=0)
        after = drawn[drawn[:, 0, 0] == 1][:, 0, 1]
        expected = model(torch.tensor([[[1, 0]]]))[0, :, 0, 1].softmax(dim=0)
        torch.testing.assert_close(
            torch.bincount(after, minlength=3) / len(after), expected, atol=0.06, rtol=0
        )
        likeliest = redrawn(model, blank, torch.rand(1, 2), temperature=0.0)
        assert likeliest[0, 0, 0] == first.argmax()


def test_only_codes_above_the_threshold_are_drawn_anew_place_after_place():
    model, codes, draws = prior((2, 3)), torch.randint(5, (4, 2, 3)), torch.rand(4, 6)
    assert torch.equal(redrawn(model, codes, draws, threshold=math.inf), codes)
    threshold = model.surprise(codes).median().item()
    expected = codes.clone()
    flat = expected.view(4, -1)
    with torch.no_grad():
        for place in range(6):
            logits = model(expected).flatten(2)[:, :, place]
            unlikely = torch.nn.functional.cross_entropy(logits, flat[:, place], reduction="none") > threshold
            upto = logits.double().softmax(dim=1).cumsum(dim=1)
            drawn = (draws[:, place, None].double() >= upto).sum(dim=1)
            flat[:, place] = torch.where(unlikely, drawn, flat[:, place])
    found = redrawn(model, codes, draws, threshold=threshold)
    assert not torch.equal(found, codes)
    assert torch.equal(found, expected)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="heads 3 do not divide"):
        prior((2, 2), heads=3)
