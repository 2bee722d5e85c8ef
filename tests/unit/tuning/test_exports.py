"""A profile as a file of sysctl.d: what is in it, and that no text of a profile becomes a line of its own."""

import functools
import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.netns.nettune_command import nettune
from tuning import shelf
from tuning.exports import forms, interfaces, networkd, overriding, tuned
from tuning.exports.sysctl_d import sysctl_d
from tuning.knobs.sysctl import sysctl_key
from tuning.profile import Profile, ProfileSetting, load
from tuning.standings import of_host, standings

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


CONNTRACK, SOMAX = "net.netfilter.nf_conntrack_max", "net.core.somaxconn"


def _met(texts: dict[str, str], owners: tuple[str, ...] = ()) -> tuple[overriding.Met, list[str]]:
    """What a file of four sysctls meets on a host with those files; its lines."""
    made = [ProfileSetting(name, value, "node", source="a guide")
            for name, value in ((CONNTRACK, "1048576"), (SOMAX, "1024"), ("net.ipv4.tcp_ecn", "1"))]  # fmt: skip
    whole = Profile("mine", "published", (RMEM, *made))
    facts = {"sysctl/net.ipv4.tcp_rmem": "4096 131072 6291456", f"sysctl/{CONNTRACK}": "262144",
             f"sysctl/{SOMAX}": "4096"}  # fmt: skip
    met = overriding.of("pve1", standings(whole, of_host("pve1", facts, ())), texts, owners)
    return met, sysctl_d(whole, met).splitlines()


def test_a_file_for_a_host_names_what_runs_there_and_whose_lines_it_overrides() -> None:
    """And what does not give way; what the host has not, or what would lower it, is left out by name."""
    rmem = "net.ipv4.tcp_rmem = 1 2 3"
    met, lines = _met(
        {
            "/etc/sysctl.d/50-x.conf": f"# mine\n{rmem}\nkernel.panic = 1\n",
            "/etc/sysctl.conf": f"{rmem}\n",
            "/etc/sysctl.d/99-zz-nettune.conf": f"{rmem}\n",
            "/etc/sysctl.d/99-zz-nettune-0001-0123456789ab.conf": f"{CONNTRACK} = 5\n",
        },
        ("pve-firewall",),
    )
    at = lines.index("net.ipv4.tcp_rmem = 4096 131072 67108864")

    assert met.name == "99-zz-nettune.conf"
    assert lines[at - 4 : at] == [
        "# rwnd_limited; a guide", "# now 4096 131072 6291456", f"# over /etc/sysctl.d/50-x.conf:2: {rmem}",
        f"# not over /etc/sysctl.conf:1: {rmem}: it wins after `sysctl --system`, which packages run",
    ]  # fmt: skip
    assert [each.split(": ")[:2] for each in met.not_over] == [
        ["net.ipv4.tcp_rmem", "not over /etc/sysctl.conf:1"],
        [CONNTRACK, "not over /etc/sysctl.d/99-zz-nettune-0001-0123456789ab.conf:1"],
        [CONNTRACK, "not over pve-firewall"],
    ]
    assert [line for line in lines if not line.startswith("#")] == [
        "net.ipv4.tcp_rmem = 4096 131072 67108864", f"{CONNTRACK} = 1048576",
    ]  # fmt: skip
    assert f"# {SOMAX} = 1024: lowers a maximum: 1024 is below 4096, which stands there now" in lines
    assert any(line.startswith("# net.ipv4.tcp_ecn = 1: not there") for line in lines)


def test_a_file_for_a_host_has_a_name_that_is_later_than_any_that_sets_the_same() -> None:
    """Of files that set something else the name does not matter; where no z is late enough, it is said."""
    rmem = "net.ipv4.tcp_rmem = 1 2 3\n"
    late, lines = _met({"/usr/lib/sysctl.d/zz-x.conf": rmem, "/etc/sysctl.d/zzzz.conf": "kernel.panic = 1\n"})
    beyond, _ = _met({"/etc/sysctl.d/~.conf": rmem})

    assert (late.name, late.not_over) == ("zzz-nettune.conf", ())
    assert any(line.startswith("# For /etc/sysctl.d/zzz-nettune.conf: ") for line in lines)
    assert (beyond.name, len(beyond.not_over)) == ("99-zz-nettune.conf", 1)


def test_a_file_for_no_host_says_how_to_see_what_it_overrides() -> None:
    """It cannot know; and a form of which none does takes no host."""
    text = " ".join(sysctl_d(Profile("mine", "published", (RMEM,))).replace("\n# ", " ").split())
    wrong = nettune("profile", "export", "latency", "--format", "tuned", "--host", "local")

    assert "`nettune profile export` has --host ssh://root@HOST" in text
    assert (wrong.returncode, "--host goes with --format sysctl.d" in wrong.stderr) == (2, True)


@given(st.text(), st.text(), st.text())
@example(reason="", source="", value=" ")
def test_no_word_of_a_profile_becomes_a_setting(reason: str, source: str, value: str) -> None:
    """Line feeds of every kind in reason, source or value."""
    one = ProfileSetting("net.ipv4.tcp_ecn", value or "1", "guest", reason=reason, source=source)
    text = sysctl_d(Profile("mine", "candidate", (one, ProfileSetting("tso", value or "off", "path", persist=reason))))

    assert len([line for line in text.split("\n") if line and not line.startswith("#")]) == 1
    assert all(len(line.split("\r")) == 1 for line in text.split("\n"))


SHIPPED = {**shelf.shipped(), **shelf.anchors()}
_load = functools.cache(load)
# A line that sets something, by format; of shell the program itself is asked.
SETS = {"sysctl.d": r"[\w./*-]+ = \S.*", "ifupdown2": r"\t[a-z-]+ \S.*", "link": r"\[\w+\]|\w+=.+",
        "tuned": r"\[\w+\]|[\w.-]+=.+"}  # fmt: skip


@pytest.mark.parametrize("form", forms.FORMS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_profile_that_ships_can_be_exported(name: str, form: str) -> None:
    """Anchors too, in every format: what a line may be is, and each setting is set or told as a comment."""
    profile = _load(SHIPPED[name])
    made = forms.made(profile, form, ("eno1",))

    assert all(made.values())
    for path, text in made.items():
        if form in SETS:
            assert text.startswith(f"# nettune profile {name}: ")
            lines = [line for line in text.splitlines() if line and line[0] != "#"]
            assert [line for line in lines if not re.fullmatch(SETS[form], line)] == []
            assert [each.setting for each in profile.settings if not _told(each, text)] == []
        elif path.endswith((".yml", ".yaml")):
            assert yaml.safe_load(text)
        elif path.endswith(".sh"):
            assert Local().run(Command(("sh", "-n"), stdin=text)).ok


def _told(of: ProfileSetting, text: str) -> bool:
    """By its name, or by one of those that formats have for it."""
    names = {of.setting, sysctl_key(of.setting), networkd.OPTIONS.get(of.setting, ""), tuned.place(of.setting)[1],
             *(interfaces.attribute(of.setting, of.value) or ("",))[:1]} - {""}  # fmt: skip
    command = interfaces.command(of.setting, of.value, "eno1")
    return (command != "" and command in text) or any(
        re.search(rf"(?<![\w.-]){re.escape(each)}(?![\w.-])", text) for each in names
    )


def test_an_unknown_format_is_told() -> None:
    """By name."""
    odd = nettune("profile", "export", "latency", "--format", "netplan")

    assert odd.returncode == 2
    assert "'netplan' is none" in odd.stderr
