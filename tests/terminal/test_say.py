import pytest
import typer

from secondread.cli.failures import stop
from secondread.terminal.say import harmless, say

ODD = "scan\x1b[2J\r\x07\u202e\udc80.png"
SHOWN = r"scan\x1b[2J\r\x07\u202e\udc80.png"


def test_what_would_steer_a_terminal_is_shown_as_its_escape(capsys):
    say(f"not read: {ODD}")
    assert capsys.readouterr().err == f"not read: {SHOWN}\n"


@pytest.mark.parametrize("name", ["films/a b.png", "Röntgen/胸部.png", "=1+1.png"])
def test_printable_names_stay_as_they_are(name):
    assert harmless(name) == name


def test_a_failure_about_an_odd_name_is_one_line(capsys):
    with pytest.raises(typer.Exit):
        stop(f"{ODD}: no such file", 2)
    assert capsys.readouterr().err == f"secondread: {SHOWN}: no such file\n"
