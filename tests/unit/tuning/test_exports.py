"""A profile as a file of sysctl.d: what is in it, and that no text of a profile becomes a line of its own."""

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from tests.netns.nettune_command import nettune
from tuning import shelf
from tuning.exports.sysctl_d import sysctl_d
from tuning.profile import Profile, ProfileSetting

RMEM = ProfileSetting("net.ipv4.tcp_rmem", "4096  131072 67108864", "guest", trigger="rwnd_limited", source="a guide")


def test_sysctls_are_lines_and_the_rest_is_told() -> None:
    """With why, by whom, and how an operator keeps what is no sysctl."""
    text = sysctl_d(Profile("mine", "published", (RMEM, ProfileSetting("tso", "off", "path"),
                                                  ProfileSetting("congestion_control", "bbr", "guest"))))  # fmt: skip
    lines = text.splitlines()

    assert [line for line in lines if not line.startswith("#")] == [
        "net.ipv4.tcp_rmem = 4096 131072 67108864", "net.ipv4.tcp_congestion_control = bbr",
    ]  # fmt: skip
    assert "# rwnd_limited; a guide" in lines
    assert any(line.startswith("# tso = off: ") for line in lines)


@given(st.text(), st.text(), st.text())
@example(reason="", source="", value=" ")
def test_no_word_of_a_profile_becomes_a_setting(reason: str, source: str, value: str) -> None:
    """Line feeds of every kind in reason, source or value."""
    one = ProfileSetting("net.ipv4.tcp_ecn", value or "1", "guest", reason=reason, source=source)
    text = sysctl_d(Profile("mine", "candidate", (one, ProfileSetting("tso", value or "off", "path", persist=reason))))

    assert len([line for line in text.split("\n") if line and not line.startswith("#")]) == 1
    assert all(len(line.split("\r")) == 1 for line in text.split("\n"))


def test_every_profile_that_ships_can_be_exported(tmp_path: Path) -> None:
    """Anchors too; and an unknown format is told."""
    for path in [*shelf.anchors().values()]:
        done = nettune("profile", "export", str(path), "--output", str(tmp_path / "x.conf"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "x.conf").read_text(encoding="utf-8").startswith(f"# nettune profile {path.stem}: ")
        break
    odd = nettune("profile", "export", "latency", "--format", "netplan")

    assert odd.returncode == 2
    assert "'netplan' is none" in odd.stderr
