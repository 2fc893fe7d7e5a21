import pytest
import torch
from torch.nn.functional import elu

from secondread.networks.distillation.token_decoder import (
    LinearAttention,
    NoisyBottleneck,
    TokenDecoder,
    parts,
)


def test_linear_attention_is_the_mean_of_values_by_products_of_positive_features():
    attention = LinearAttention(6, heads=1)
    x = torch.randn(2, 5, 6)
    queries, keys, values = attention.queries_keys_values(x).chunk(3, dim=-1)
    weights = (elu(queries) + 1) @ (elu(keys) + 1).transpose(1, 2)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(attention(x), attention.joined(weights @ values))


def test_heads_see_their_own_channels():
    torch.manual_seed(0)
    attention = LinearAttention(4, heads=2)
    with torch.no_grad():
        attention.joined.weight.copy_(torch.eye(4))
    x = torch.randn(1, 3, 4)
    before = attention(x)
    with torch.no_grad():
        attention.queries_keys_values.weight[0] += 1  # a query of the first head
    change = (attention(x) - before).abs().amax(dim=(0, 1))
    assert (change[:2] > 1e-6).all()
    assert (change[2:] == 0).all()


def test_the_bottleneck_is_noisy_in_training_alone():
    bottleneck, x = NoisyBottleneck(8, 0.2), torch.ones(1, 3, 8)
    assert not torch.equal(bottleneck(x), bottleneck(x))
    bottleneck.eval()
    torch.testing.assert_close(bottleneck(x), bottleneck(x))


def test_groups_are_means_of_following_blocks_the_last_ones_first():
    decoder = TokenDecoder(8, heads=2, blocks=4, groups=2, dropout=0.0)
    x, given = torch.randn(2, 5, 8), []
    h = decoder.bottleneck(x)
    for block in decoder.blocks:
        h = block(h)
        given.append(h)
    first, second = decoder(x)
    torch.testing.assert_close(first, (given[2] + given[3]) / 2)
    torch.testing.assert_close(second, (given[0] + given[1]) / 2)


def test_weights_start_small():
    decoder = TokenDecoder(64, heads=2, blocks=1, groups=1, dropout=0.2)
    weight = decoder.blocks[0].mlp[0].weight
    assert float(weight.detach().abs().max()) <= 0.03
    assert float(weight.detach().std()) == pytest.approx(0.01, rel=0.1)


def test_parts_are_as_alike_as_can_be():
    assert parts(8, 2) == ((0, 4), (4, 8))
    assert parts(3, 2) == ((0, 2), (2, 3))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 heads do not share a width of 8"):
        TokenDecoder(8, heads=3, blocks=2, groups=1, dropout=0.0)
    with pytest.raises(ValueError, match="3 groups of layers need as many blocks"):
        TokenDecoder(8, heads=2, blocks=2, groups=3, dropout=0.0)
