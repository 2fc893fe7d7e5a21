import stat

import pytest

from secondread.cohorts.listing.identities import key_beside, keyed_hash, read_key
from secondread.errors import UserError


def test_a_hash_depends_on_key_kind_and_id():
    key = b"k" * 32
    hashes = {
        keyed_hash(key, "patient", "123"),
        keyed_hash(b"l" * 32, "patient", "123"),
        keyed_hash(key, "study", "123"),
        keyed_hash(key, "patient", "124"),
    }
    assert len(hashes) == 4
    assert all(len(each) == 20 and "123" not in each for each in hashes)
    assert keyed_hash(key, "patient", "") == ""


def test_the_key_beside_a_manifest_is_made_once_for_its_owner_alone(tmp_path):
    key, path = key_beside(tmp_path / "m.csv")
    assert path == tmp_path / "m.csv.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(key) == 64
    assert key_beside(tmp_path / "m.csv") == (key, path)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    _, path = key_beside(tmp_path / "m.csv")
    path.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_key(path)


def test_a_short_or_missing_key_is_refused(tmp_path):
    path = tmp_path / "short"
    path.write_text("abc\n")
    path.chmod(0o600)
    with pytest.raises(UserError, match="too short"):
        read_key(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_key(tmp_path / "none")
