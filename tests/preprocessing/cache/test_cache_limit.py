import pytest

from secondread.errors import UserError
from secondread.preprocessing.cache.limit import cache_limit, settle
from secondread.preprocessing.cache.place import cache_facts, open_cache
from secondread.wording.sizes import in_words


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 << 29), ("4096", 4096), ("", None)],
)
def test_a_limit_is_a_size(monkeypatch, text, size):
    monkeypatch.setenv("SECONDREAD_CACHE_LIMIT", text)
    assert cache_limit() == size


@pytest.mark.parametrize("text", ["much", "-3GB", "3 iB", "GB"])
def test_a_limit_that_is_no_size_is_refused_before_the_run(monkeypatch, tmp_path, text):
    monkeypatch.setenv("SECONDREAD_CACHE_LIMIT", text)
    with pytest.raises(UserError, match="SECONDREAD_CACHE_LIMIT"):
        open_cache(tmp_path / "cache")


def test_settling_keeps_the_cache_below_its_limit(fitted, phantoms, tmp_path, monkeypatch):
    from secondread.preprocessing.prepare import prepare_many

    cache = open_cache(tmp_path / "cache")
    list(
        prepare_many(
            [phantoms.reference(row) for row in phantoms.rows[:8]],
            fitted.preprocessing,
            cache=cache,
            workers=0,
        )
    )
    before = cache_facts(cache)
    assert before["bytes"] > 20_000
    assert before["limit_bytes"] is None
    settle(cache)
    assert cache.size() == before["bytes"]
    monkeypatch.setenv("SECONDREAD_CACHE_LIMIT", "20kB")
    settle(cache)
    assert cache.size() <= 20_000


def test_sizes_are_said_as_people_say_them():
    assert [in_words(n) for n in (12, 999_900, 1_300_000_000)] == ["12 bytes", "1 MB", "1.3 GB"]
