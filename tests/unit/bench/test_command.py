"""Commands as errors show them."""

import pytest

from bench.hosts.command import Command, CommandFailed, Outcome


def test_a_command_is_shown_whole_and_of_a_script_its_beginning() -> None:
    """What an operator may paste again is not cut; a page of shell is."""
    plain = Command(("iperf3", *(["--option"] * 60)))
    script = Command(("sh", "-c", 'for line do\n  eval "$line"\ndone\n' * 40, "sh"))

    assert plain.brief == str(plain)
    assert script.brief.startswith("sh -c 'for line do eval")
    assert len(script.brief) < 170
    assert "\n" not in script.brief


def test_an_error_has_the_short_form() -> None:
    """With host, exit code and what it said."""
    script = Command(("sh", "-c", "one\ntwo\n" * 100))
    with pytest.raises(CommandFailed) as raised:
        Outcome(script, "pve1", 3, "", "no room", 0.1).require()

    assert str(raised.value).startswith("on pve1: `sh -c 'one two")
    assert str(raised.value).endswith("exited with 3: no room")
    assert len(str(raised.value)) < 260
