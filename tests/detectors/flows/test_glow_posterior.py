import math

import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.detectors.blocks.image_flow.architecture import GlowFlowSettings
from secondread.detectors.contract import Batch, Generative, ScoringNoise
from secondread.detectors.flows.glow_posterior import GlowPosterior, GlowPosteriorSettings

SIZES = {2: (16, 16), 3: (8, 8, 8)}
FLOW = GlowFlowSettings(levels=2, depth=2, width=16)


def make(rank=2, channels=1, **changes):
    return GlowPosterior(GlowPosteriorSettings(flow=FLOW, **changes), channels, SIZES[rank])


def fitted(rank=2, channels=1, steps=6, **changes):
    detector = make(rank, channels, **changes)
    shape = SIZES[rank]
    others = {"unlabelled": blobs(12, shape, seed=3, lesion=True, channels=channels)}
    fit(detector, blobs(12, shape, channels=channels), steps=steps, batch_size=4, **others)
    return detector


def drawn(images, draws=1):
    """The noise of `in_memory.score`, `[draws, N, C, *S]`."""
    noise = ScoringNoise([torch.Generator().manual_seed(i) for i in range(len(images))])
    return torch.stack([noise.uniform(images.shape[1:]) for _ in range(draws)])


@torch.no_grad()
def bits(flow, detector, images, u):
    """-log2 P(levels) / D, from the flow's own log-density."""
    count = 2**detector.settings.bits
    levels = (images * (count - 1)).round()
    nats = flow.log_density((levels + u) / count - 0.5)
    return (-nats / flow.dimensions + math.log(count)) / math.log(2)


@pytest.mark.parametrize(
    ("rank", "channels", "depth"),
    [
        (2, 1, 8),
        (3, 3, 7),
        pytest.param(2, 3, 7, marks=pytest.mark.slow),
        pytest.param(3, 1, 8, marks=pytest.mark.slow),
    ],
)
def test_parts_are_bits_per_dimension_of_both_models_with_the_same_noise(rank, channels, depth):
    detector = fitted(rank, channels, bits=depth)
    images = blobs(3, SIZES[rank], seed=1, channels=channels)
    parts = score(detector, images).parts
    first, second = (
        bits(flow, detector, images, drawn(images)[0]) for flow in (detector.normal, detector.second)
    )
    torch.testing.assert_close(parts["likelihood"].values, first, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parts["mixture_likelihood"].values, second, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parts["posterior"].values, first - second, atol=1e-5, rtol=1e-4)
    assert torch.equal(parts["typicality"].values, parts["likelihood"].values)
    assert {name for name, part in parts.items() if part.tail == "two"} == {"typicality"}
    assert (first - second).abs().max() > 1e-4


def test_two_equal_models_have_a_posterior_of_exactly_nothing():
    detector = fitted(draws=2)
    detector.second.load_state_dict(detector.normal.state_dict())
    scores = score(detector, blobs(3, SIZES[2], seed=1))
    assert (scores.parts["posterior"].values == 0).all()
    assert (scores.maps["posterior"] == 0).all()


def test_several_draws_are_averaged():
    detector = fitted(draws=3)
    images = blobs(2, SIZES[2], seed=1)
    expected = torch.stack([bits(detector.normal, detector, images, u) for u in drawn(images, 3)])
    assert expected.std(dim=0).min() > 1e-4
    found = score(detector, images).parts["likelihood"].values
    torch.testing.assert_close(found, expected.mean(dim=0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["posterior", "likelihood"])
def test_the_map_tells_by_place_what_the_part_says_of_the_image(kind):
    detector = fitted(3, map=kind)
    scores = score(detector, blobs(2, SIZES[3], seed=1))
    mean = scores.maps[kind].flatten(1).mean(dim=1)
    torch.testing.assert_close(mean.double(), scores.parts[kind].values, atol=1e-5, rtol=1e-4)


def test_padding_is_left_out_of_the_parts():
    detector = fitted()
    images = blobs(2, SIZES[2], seed=1)
    images[:, :, 12:] = 0
    valid = torch.ones(2, 1, *SIZES[2], dtype=torch.bool)
    whole, same = score(detector, images), score(detector, images, valid)
    valid[:, :, 12:] = False
    inside = score(detector, images, valid)
    for name, part in whole.parts.items():
        torch.testing.assert_close(part.values, same.parts[name].values)
    expected = whole.maps["posterior"][:, :, :12].flatten(1).mean(dim=1)
    torch.testing.assert_close(inside.parts["posterior"].values, expected.double(), atol=1e-6, rtol=1e-5)
    assert (inside.parts["background"].values < 0.05).all()
    assert (whole.parts["background"].values >= 0.25).all()


def test_background_is_the_share_of_pixels_at_level_nought():
    images = torch.ones(1, 1, *SIZES[2])
    images[0, 0, :4] = 0.4 / 255
    images[0, 0, 4:8] = 0.6 / 255
    assert (
        float(score(make(second="none", score="likelihood", map="none"), images).parts["background"].values)
        == 0.25
    )


@pytest.mark.parametrize("start", ["own", "same", "trained"])
def test_the_second_model_begins_where_the_setting_says(start):
    batches = [{name: Batch(blobs(6, SIZES[2])) for name in ("normal", "unlabelled")}]
    detector = make(start=start)
    normal, mixture, _ = detector.stages()
    normal.prepare(iter(batches), torch.Generator().manual_seed(0))
    begun = {name: value.clone() for name, value in detector.normal.state_dict().items()}
    with torch.no_grad():
        detector.normal.levels[0].steps[0].net.last_bias.add_(1.0)  # as training would
    mixture.prepare(iter(batches), torch.Generator().manual_seed(0))
    trained, second = detector.normal.state_dict(), detector.second.state_dict()
    assert all(torch.equal(begun[name], second[name]) for name in begun) == (start == "same")
    assert all(torch.equal(trained[name], second[name]) for name in trained) == (start == "trained")
    assert bool(detector.second.initialised)


def test_each_model_begins_on_its_own_unless_told_otherwise():
    assert GlowPosteriorSettings().start == "own"


def test_the_initialisation_gathers_images_from_several_batches():
    detector = make(initial_images=10)
    taken = []

    def batches():
        for seed in range(5):
            taken.append(seed)
            yield {"normal": Batch(blobs(4, SIZES[2], seed=seed))}

    next(detector.stages()).prepare(batches(), torch.Generator().manual_seed(0))
    assert taken == [0, 1, 2]
    together = torch.cat([blobs(4, SIZES[2], seed=seed) for seed in range(3)])[:10]
    u = torch.rand(together.shape, generator=torch.Generator().manual_seed(0))
    y = detector.dequantisation.noisy(together, u)
    planes = torch.nn.functional.pixel_unshuffle(y, 2).movedim(1, 0).flatten(1)
    mixing = detector.normal.levels[0].steps[0].mixing
    normed = (planes + mixing.bias[:, None]) * mixing.log_scale.exp()[:, None]
    torch.testing.assert_close(normed.mean(dim=1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.std(dim=1, correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_the_background_model_learns_from_spoilt_normals_and_needs_no_others():
    detector = make(second="background", replace=0.3)
    assert detector.needs == {"normal"}
    assert [(stage.name, set(stage.on)) for stage in detector.stages()] == [
        ("normal", {"normal"}), ("background", {"normal"}), ("precision", {"normal"}),
    ]  # fmt: skip
    images = torch.full((50, 1, *SIZES[2]), 0.5)
    spoilt = detector._continuous(detector.second, images, torch.Generator().manual_seed(0))
    plain = detector._continuous(detector.normal, images, torch.Generator().manual_seed(0))
    level = detector.dequantisation.levels(images[:1, :1, :1, :1])
    same = ((spoilt + 0.5) * 256).floor() == level
    assert (((plain + 0.5) * 256).floor() == level).all()
    assert float(1 - same.float().mean()) == pytest.approx(0.3, abs=0.02)
    others = (spoilt + 0.5)[~same]
    assert float(others.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(others.std()) == pytest.approx(1 / math.sqrt(12), abs=0.02)


def test_scoring_falls_back_to_float32_where_bf16_moves_the_score():
    detector = fitted()
    images = blobs(4, SIZES[2], seed=1)
    exact = score(detector, images).parts["posterior"].values
    found = {}
    for half in (True, False):
        detector.half_precision.fill_(half)
        with torch.autocast("cpu", torch.bfloat16):
            found[half] = score(detector, images).parts["posterior"].values
    assert torch.equal(found[False], exact)
    assert not torch.equal(found[True], exact)


def test_the_drift_is_the_shift_by_bf16_in_standard_deviations_of_the_score():
    detector = fitted()
    images = blobs(8, SIZES[2], seed=5)
    batch = {"normal": Batch(images)}
    detector.measure_drift(iter([batch]), torch.Generator().manual_seed(0))
    y = detector.dequantisation.noisy(
        images, torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    )

    @torch.no_grad()
    def posterior():
        nats = detector.normal.log_density(y) - detector.second.log_density(y)
        return -nats / (y[0].numel() * math.log(2))

    full = posterior()
    with torch.autocast("cpu", torch.bfloat16):
        half = posterior()
    expected = (half - full).square().mean().sqrt() / full.std(correction=0)
    torch.testing.assert_close(detector.drift.double(), expected, rtol=2e-2, atol=0)
    assert bool(detector.half_precision) == (float(expected) < 0.01)


@pytest.mark.parametrize(
    ("drift", "half", "note"), [(math.nan, False, ""), (0.004, True, ""), (0.03, False, "3.0 %")]
)
def test_whoever_fits_is_told_of_the_fallback(drift, half, note):
    detector = make()
    detector.drift.fill_(drift)
    detector.half_precision.fill_(half)
    notes = detector.notes()
    assert bool(notes) == bool(note)
    assert all(note in line and "float32" in line for line in notes)


def test_normals_that_are_all_alike_leave_scoring_in_float32():
    detector = fitted(second="none", score="likelihood", map="none")
    one = {"normal": Batch(blobs(1, SIZES[2]))}
    detector.measure_drift(iter([one]), torch.Generator())
    assert float(detector.drift) == math.inf
    assert not detector.half_precision


@pytest.mark.parametrize(("rank", "places"), [(2, ((3, 4), (8, 15))), (3, ((3, 4, 2), (4, 7, 0)))])
def test_the_gradient_map_is_the_slope_of_the_log_posterior(rank, places):
    detector = fitted(rank, map="gradient")
    assert detector.gradients_at_scoring
    images = blobs(1, SIZES[rank], seed=1)
    slope = score(detector, images).maps["gradient"]
    y = detector.dequantisation.noisy(images, drawn(images)[0])
    models = [flow.double() for flow in (detector.normal, detector.second)]
    for place in places:
        step = torch.zeros_like(y).double()
        step[0, 0, *place] = 1e-4
        with torch.no_grad():
            ends = [models[0].log_density(x) - models[1].log_density(x) for x in (y + step, y - step)]
        expected = float((ends[0] - ends[1]).abs()) / 2e-4
        assert float(slope[0, 0, *place]) == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_the_score_is_the_part_that_is_asked_for():
    for kind, tail in (("likelihood", "upper"), ("typicality", "two")):
        detector = make(second="none", score=kind, map="none")
        assert detector.mixture().weights == {kind: 1.0}
        assert detector.map_mixture() is None
        scores = score(detector, blobs(2, SIZES[2]))
        assert scores.parts[kind].tail == tail
        assert set(scores.parts) == {"likelihood", "typicality", "background"}
        assert not scores.maps


def test_a_posterior_without_a_second_model_is_refused():
    for changes in ({"map": "none"}, {"score": "likelihood"}):
        with pytest.raises(ValidationError, match="the posterior needs a second model"):
            GlowPosteriorSettings(second="none", **changes)


def test_a_size_that_the_levels_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="must be a multiple of 4"):
        GlowPosterior(GlowPosteriorSettings(flow=FLOW), 1, (16, 18))


@pytest.mark.parametrize("rank", [2, 3])
def test_images_are_drawn_within_the_images_range_and_by_the_generator_alone(rank):
    detector = fitted(rank)
    assert isinstance(detector, Generative)
    one, again = (detector.sample(3, torch.Generator().manual_seed(5), temperature=0.7) for _ in range(2))
    assert one.shape == (3, 1, *SIZES[rank])
    assert torch.equal(one, again)
    assert 0 <= float(one.min()) < float(one.max()) <= 1
    assert not torch.equal(one, detector.sample(3, torch.Generator().manual_seed(6), temperature=0.7))


@pytest.mark.parametrize("rank", [2, 3])
def test_a_line_between_two_images_ends_at_them(rank):
    detector = fitted(rank)
    first, second = blobs(2, SIZES[rank], seed=8)
    along = detector.interpolate(first, second, 5)
    assert along.shape == (5, 1, *SIZES[rank])
    for end, image in ((along[0], first), (along[-1], second)):
        torch.testing.assert_close(end, image, atol=0.5 / 255 + 1e-6, rtol=0)
    assert (along[2] - along[0]).abs().max() > 0.01
