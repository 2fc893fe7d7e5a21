from secondread.bundles.bundle import Bundle
from secondread.readings.readings import Reading
from secondread.readings.studies import read_studies


def test_a_study_has_the_score_of_its_worst_image(fitted: Bundle) -> None:
    readings = [
        Reading("a", study_id="one", score=1.0),
        Reading("b", study_id="one", score=3.0),
        Reading("c", study_id="two", error="broken"),
        Reading("d", score=9.0),
    ]
    one, two = read_studies(readings, fitted.calibration)
    assert (one.study_id, one.score, one.images, one.failed, one.worst_image) == ("one", 3.0, 2, 0, "b")
    assert one.p_value is not None
    assert (two.study_id, two.score, two.failed) == ("two", None, 1)
