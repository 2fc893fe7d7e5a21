import pytest

from secondread.errors import UserError
from secondread.scoring.device_name import refuse_unknown_device


def test_a_slip_is_told_with_what_was_meant():
    for known in (None, "auto", "cpu", "cuda", "cuda:1"):
        refuse_unknown_device(known)
    with pytest.raises(UserError, match=r"device 'gpu' is not known; did you mean cuda\? use auto, cpu"):
        refuse_unknown_device("gpu")
    with pytest.raises(UserError, match=r"device 'CPU' is not known; did you mean cpu\? use auto, cpu"):
        refuse_unknown_device("CPU")
    with pytest.raises(UserError, match="device 'cuda:x' is not known; use auto, cpu"):
        refuse_unknown_device("cuda:x")
