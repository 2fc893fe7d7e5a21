import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.decomposition import PCA

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.contract import Batch
from secondread.detectors.features.feature_subspace import FeatureSubspace, FeatureSubspaceSettings
from secondread.errors import UserError
from secondread.estimators.shrunk_gaussian import samples_in
from secondread.estimators.subspace import Subspace

RANDOM = EncoderSettings(name="resnet18", weights="random")


def make(size=(32, 32), pretrained=True, **settings):
    torch.manual_seed(0)
    settings = {"encoder": RANDOM, "strides": (4, 8), "grids": (1, 2), "variance": 0.9, **settings}
    return FeatureSubspace(FeatureSubspaceSettings(**settings), 1, size, pretrained=pretrained)


def residual(pca, rows):
    rows = np.asarray(rows)
    return np.linalg.norm(rows - pca.inverse_transform(pca.transform(rows)), axis=1)


@pytest.mark.parametrize("n", [30, 90])
def test_each_part_is_the_residual_of_principal_components_of_a_pooled_level(n):
    detector, normals, new = make(), blobs(n, (32, 32)), blobs(4, (32, 32), seed=1)
    fit(detector, normals, batch_size=7)
    parts = score(detector, new).parts
    assert list(parts) == ["level_1_grid_1", "level_1_grid_2", "level_2_grid_1", "level_2_grid_2"]
    with torch.no_grad():
        for level in (0, 1):
            for side in (1, 2):
                of_normals, of_new = (
                    torch.nn.functional.adaptive_avg_pool2d(detector.encoder(images)[level], side).flatten(1)
                    for images in (normals, new)
                )
                expected = residual(PCA(0.9).fit(of_normals.double()), of_new.double())
                found = parts[f"level_{level + 1}_grid_{side}"].values
                np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert detector.mixture().scaled
    assert set(detector.mixture().weights) == set(parts)


def test_the_map_is_the_residual_of_single_positions_placed_by_the_cells():
    detector, normals, new = make(strides=(4,), smoothing=0), blobs(30, (32, 32)), blobs(2, (32, 32), seed=1)
    fit(detector, normals, batch_size=7)
    with torch.no_grad():
        rows = [
            detector.encoder(x)[0].permute(0, 2, 3, 1).reshape(-1, 64).double().numpy()
            for x in (normals, new)
        ]
    expected = residual(PCA(0.9, svd_solver="full").fit(rows[0]), rows[1]).reshape(2, 8, 8)
    found = score(detector, new).maps["level_1"]
    assert found.shape == (2, 1, 32, 32)
    # a ResNet's cells lie on every fourth pixel
    np.testing.assert_allclose(found[:, 0, ::4, ::4], expected, rtol=1e-3, atol=1e-5)


def test_positions_in_padding_are_not_learnt_from():
    valid = torch.zeros(20, 1, 32, 32, dtype=torch.bool)
    valid[..., :16] = True
    detector = make(strides=(4,))
    detector.collect({"normal": Batch(blobs(20, (32, 32)), valid)})
    assert samples_in(detector.sums[0]) == 20 * 8 * 4


def test_what_lies_in_padding_does_not_reach_the_map(monkeypatch):
    detector = make(strides=(4,), smoothing=2.0)
    fit(detector, blobs(8, (32, 32)))
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    outside = (torch.arange(64) % 8 >= 4).float()
    plain, strange = Subspace.forward, [0.0]

    def forward(self, x):
        return plain(self, x) + (strange[0] * outside if len(x) == 64 else 0.0)

    monkeypatch.setattr(Subspace, "forward", forward)
    shown = []
    for amount in (0.0, 1e3):
        strange[0] = amount
        shown.append(score(detector, blobs(1, (32, 32), seed=3), valid).maps["level_1"])
    torch.testing.assert_close(*shown)


def test_the_last_two_levels_that_the_encoder_names_are_taken_without_a_word():
    with torch.device("meta"):
        settings = FeatureSubspaceSettings(encoder=RANDOM)
        detector = FeatureSubspace(settings, 1, (256, 256))
    assert detector.encoder.layers == ("layer3", "layer4")
    assert [len(subspace.mean) for subspace in detector.pooled.values()] == [1024, 4096, 2048, 8192]


def test_a_lesion_raises_the_sum_of_parts_and_the_map_where_it_is():
    detector = make(variance=0.99, smoothing=1)
    fit(detector, blobs(200, (32, 32)))
    healthy = score(detector, blobs(8, (32, 32), seed=9))
    ill = score(detector, blobs(8, (32, 32), seed=9, lesion=True))
    total = [sum(part.values for part in found.parts.values()) for found in (healthy, ill)]
    assert (total[1] > total[0]).all()
    rise = (ill.maps["level_1"] - healthy.maps["level_1"]).mean(dim=(0, 1))
    assert rise[14:22, 14:22].mean() > 2 * rise.mean()


def test_at_most_so_many_normals_are_kept_and_nothing_is_left_of_them():
    detector = make(most=10, variance=0.999)
    fit(detector, blobs(30, (32, 32)))
    assert all(len(subspace.basis) == 9 for subspace in detector.pooled.values())
    assert (len(detector.sample), detector.sums) == (0, [None, None])


def test_the_fitted_state_loads_without_weights():
    detector, new = make(), blobs(3, (32, 32), seed=4)
    fit(detector, blobs(20, (32, 32)))
    again = make(pretrained=False).load_fitted(detector.state_dict()).eval()
    for name, part in score(detector, new).parts.items():
        assert torch.equal(score(again, new).parts[name].values, part.values)


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ValueError, match="grids: 9 cells per axis, and the map of level 1 has 8×8"):
        make(grids=(2, 9))
    with pytest.raises(ValueError, match="names a grid twice"):
        make(grids=(2, 2))
    with pytest.raises(ValueError, match="set one of them"):
        make(layers=("layer1",))
    with pytest.raises(ValueError, match="pretrained weights, not conv"):
        make(encoder=EncoderSettings(name="conv"))
    with pytest.raises(
        UserError, match="feature-subspace needs normal images that differ, and found 5 of one"
    ):
        fit(make(), torch.full((5, 1, 32, 32), 0.5))
