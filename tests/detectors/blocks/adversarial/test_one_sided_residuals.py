import pytest
import torch
from in_memory import blobs, score

from secondread.detectors import find


@pytest.mark.parametrize("name", ["aae", "anovaegan", "bigan", "f-anogan", "ganomaly", "tang"])
def test_what_is_brighter_and_what_is_darker_add_up_to_the_residual(name):
    kind = find(name)
    tiny = kind.tiny(2)
    images, found = blobs(2, tiny.size), {}
    for sign in ("both", "positive", "negative"):
        torch.manual_seed(0)
        settings = tiny.settings.model_copy(update={"residual": sign})
        found[sign] = score(kind(settings, tiny.channels, tiny.size).eval(), images)
    for of in (lambda scores: scores.maps["residual"], lambda scores: scores.parts["residual"].values):
        torch.testing.assert_close(of(found["positive"]) + of(found["negative"]), of(found["both"]))
    assert (found["positive"].maps["residual"] * found["negative"].maps["residual"] == 0).all()
