"""What `make test-slow SHARE=K/N` chooses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shares import share_of

IDS = [
    "tests/a.py::test_one", "tests/a.py::test_two", "tests/b.py::test_one[x]", "tests/b.py::test_one[y]",
    *(f"tests/docs/test_notebooks.py::test_it_runs[{name}]" for name in "pqr"),
    *(f"tests/laws/test_laws.py::test_{law}[vae-3d]" for law in (1, 2)),
    "tests/laws/test_laws.py::test_1[bf16-vae-3d]", "tests/laws/test_laws.py::test_1[float32-gmvae-3d]",
]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_the_shares_have_nothing_in_common_and_hold_every_test_together(count: int) -> None:
    items = [SimpleNamespace(nodeid=one) for one in IDS]
    shares = [[item.nodeid for item in share_of(items, f"{k}/{count}")[0]] for k in range(1, count + 1)]
    assert sorted(one for share in shares for one in share) == sorted(IDS)
    for unit in ("a.py", "b.py", "[p]", "[q]", "[r]", "-gmvae-3d"):
        assert sum(any(unit in one for one in share) for share in shares) == 1
    laws = [{one for one in share if one.endswith(("[vae-3d]", "-vae-3d]"))} for share in shares]
    assert sorted(map(len, laws))[-2:] in ([0, 3], [3])


def test_the_shares_are_about_alike_in_units() -> None:
    items = [SimpleNamespace(nodeid=f"tests/test_{number}.py::test_it") for number in range(20)]
    sizes = [len(share_of(items, f"{k}/6")[0]) for k in range(1, 7)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/6", "7/6", "3", "a/b", "3/6/9"])
def test_another_share_is_refused(text: str) -> None:
    with pytest.raises(pytest.UsageError, match="K from 1 to N"):
        share_of([], text)
