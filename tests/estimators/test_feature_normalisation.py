import pytest
import torch

from secondread.estimators.feature_normalisation import FeatureNormalisation


def maps(count=64, channels=6, size=(4, 5), seed=0):
    """Rectified maps whose mean and spread differ from place to place."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(1, channels, *size, generator=generator) * 3
    return (torch.randn(count, channels, *size, generator=generator) * (0.5 + place) + place).relu()


def fitted(h, **settings):
    normalisation = FeatureNormalisation(h.shape[1], h.shape[2:], **settings)
    normalisation.fit(((part, None) for part in h.split(16)), torch.Generator().manual_seed(0))
    return normalisation


def test_by_position_every_place_has_mean_zero_and_nearly_unit_spread():
    h = maps()
    z = fitted(h, standardise="position")(h)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros_like(z[0]), atol=1e-5, rtol=0)
    spread = z.std(dim=0)
    assert float(spread.max()) < 1.02
    assert float(spread.min()) > 0.5


def test_by_scale_one_constant_gives_a_mean_square_of_one_and_moves_nothing():
    h = 30 * maps()
    z = fitted(h, standardise="scale")(h)
    assert float(z.square().mean()) == pytest.approx(1.0, rel=1e-4)
    torch.testing.assert_close(z * h.square().mean().sqrt(), h, rtol=1e-4, atol=1e-4)
    spoilt, valid = h.clone(), torch.ones_like(h[:, :1], dtype=torch.bool)
    spoilt[:, :, 0], valid[:, :, 0] = 1e4, False
    masked = FeatureNormalisation(6, (4, 5), standardise="scale")
    masked.fit([(spoilt, valid)], torch.Generator())
    assert float(masked.scale[0]) == pytest.approx(float(h[:, :, 1:].square().mean().sqrt()), rel=1e-4)


def test_pca_gives_uncorrelated_directions_of_unit_variance():
    h = maps(200)
    z = fitted(h, standardise="position", projection=4)(h).transpose(0, 1).flatten(1)
    covariance = z @ z.T / z.shape[1]
    torch.testing.assert_close(covariance, torch.eye(4), atol=0.15, rtol=0)


def test_compression_shortens_tails_and_keeps_the_sign():
    h = torch.tensor([[[[-100.0, 0.0, 100.0]]]])
    out = FeatureNormalisation(1, (1, 3), compress=True)(h)
    torch.testing.assert_close(out, torch.tensor([[[[-1.0, 0.0, 1.0]]]]) * torch.log1p(torch.tensor(100.0)))


def test_padded_positions_do_not_count():
    h = maps()
    spoilt, valid = h.clone(), torch.ones_like(h[:, :1], dtype=torch.bool)
    spoilt[::2, :, 0, 0] = 1e4
    valid[::2, :, 0, 0] = False
    clean, masked = (FeatureNormalisation(6, (4, 5), standardise="position") for _ in range(2))
    clean.fit([(h[1::2], None)], torch.Generator())
    masked.fit([(spoilt, valid)], torch.Generator())
    torch.testing.assert_close(masked.mean[:, 0, 0], clean.mean[:, 0, 0], atol=1e-4, rtol=1e-4)


def test_a_channel_that_is_constant_among_normals_stays_finite():
    h = maps()
    h[:, 2] = 0
    z = fitted(h, standardise="position", projection=5)
    h[:, 2] = 1
    assert torch.isfinite(z(h)).all()


def test_a_projection_to_more_directions_than_channels_is_refused():
    with pytest.raises(ValueError, match="2 to 6 directions"):
        FeatureNormalisation(6, (4, 5), projection=7)


def test_one_batch_of_very_many_positions_gives_the_same_directions_as_many_small_ones():
    # directions are determined where their variances differ: neighbouring channels are mixed
    near = (torch.arange(6)[:, None] - torch.arange(6)).abs()
    h = torch.einsum("ij,njhw->nihw", 0.55**near, maps(80, 6, (30, 30)))
    whole, parts = in_one_batch(h), fitted(h, standardise="channel", projection=4)
    torch.testing.assert_close(whole.matrix, parts.matrix, atol=1e-3, rtol=1e-3)


def test_one_batch_of_very_many_positions_keeps_as_much_variance_where_all_directions_are_alike():
    h = maps(80, 6, (30, 30))
    rows = fitted(h, standardise="channel")(h).transpose(0, 1).flatten(1).double()
    covariance = rows @ rows.T / rows.shape[1]

    def kept(normalisation):
        directions = torch.nn.functional.normalize(normalisation.matrix.double(), dim=1)
        torch.testing.assert_close(directions @ directions.T, torch.eye(4).double(), atol=1e-5, rtol=0)
        return float((directions @ covariance @ directions.T).trace())

    whole, parts = kept(in_one_batch(h)), kept(fitted(h, standardise="channel", projection=4))
    most = float(torch.linalg.eigvalsh(covariance)[-4:].sum())
    assert whole == pytest.approx(most, rel=1e-4)
    assert parts == pytest.approx(most, rel=1e-4)


def in_one_batch(h):
    whole = FeatureNormalisation(6, (30, 30), standardise="channel", projection=4)
    whole.fit([(h, None)], torch.Generator().manual_seed(0))
    return whole


def test_centred_by_position_and_scaled_by_channel_no_place_weighs_more_than_its_spread():
    h = maps(200)
    z = fitted(h, standardise="centre")(h)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros_like(z[0]), atol=1e-5, rtol=0)
    ratio = z.std(dim=0) / h.std(dim=0)
    torch.testing.assert_close(ratio, ratio.mean(dim=(1, 2), keepdim=True).expand_as(ratio))
    assert 0.9 < float(z.std()) < 1.02
