import pytest

from secondread.reports.pictures import Drawn, believed, fitted


def test_pictures_keep_the_patients_proportions():
    assert fitted((50, 100), None) == (160, 80)
    assert fitted((50, 100), (4.0, 1.0)) == (80, 160)


@pytest.mark.parametrize(
    "sent",
    [
        'data:image/webp;base64,AAAA"><script>alert(1)</script>',
        "javascript:alert(1)",
        "data:text/html;base64,AAAA",
        "data:image/webp;base64,AAAA\n",
    ],
)
def test_only_pictures_of_a_worker_reach_the_page(sent):
    good = Drawn(picture="data:image/webp;base64,AAAA")
    assert believed(good) == good
    for field in ("picture", "heat", "thumbnail"):
        assert not believed(Drawn(**{field: sent})).picture
        assert believed(Drawn(**{field: sent})).reason
