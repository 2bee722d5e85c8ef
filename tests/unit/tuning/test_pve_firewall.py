"""[OPTIONS] of host.fw: read, changed by a script that keeps every other byte, and put back exactly."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.facts import pve_firewall
from bench.facts.pve_firewall import HOST_FW, OPTIONS, effective, options
from bench.facts.sheet import FactSheet
from bench.hosts.local import Local
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from bench.labs.topology import Topology
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.pve_firewall import Backend, HostFirewall, kept
from tuning.knobs.table import KNOBS, knob_for, owner

ESTABLISHED = "nf_conntrack_tcp_timeout_established"
HOST = """\
[OPTIONS]

enable: 1
# mine
log_level_in:  warning
nf_conntrack_max:   300000

[RULES]

IN ACCEPT -i vmbr0 -p tcp -dport 22 # nf_conntrack_max: 1
|OUT REJECT
"""
_LINE = st.sampled_from(
    ["", "enable: 1", "[OPTIONS]", "[options] ", "[RULES]", "IN ACCEPT", "# x", "nf_conntrack_max: 1",
     "nf_conntrack_max:2", "\tnftables: 1", "[group web]", f"{ESTABLISHED}: 9000"]
)  # fmt: skip
_TEXT = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(_LINE, max_size=8), st.sampled_from(["", "\n"]))


def wrote(path: Path, option: str, value: str) -> None:
    """The knob's own command, on that file."""
    (command,) = HostFirewall().writes((Change("pve1", f"host.fw/{option}", value),))
    words = tuple(str(path) if each == HOST_FW else each for each in command.argv)
    Local().run(type(command)(words)).require()


@pytest.mark.parametrize(
    ("text", "option", "value", "becomes"),
    [
        (HOST, "nf_conntrack_max", "1048576", HOST.replace("300000", "1048576")),
        (HOST, ESTABLISHED, "86400", HOST.replace("[OPTIONS]\n", f"[OPTIONS]\n{ESTABLISHED}: 86400\n")),
        ("[RULES]\n", "nf_conntrack_max", "500000",
         "[RULES]\n# made by nettune: section\n[OPTIONS]\nnf_conntrack_max: 500000\n"),
        ("", "nf_conntrack_max", "500000", "# made by nettune: section\n[OPTIONS]\nnf_conntrack_max: 500000\n"),
        (None, "nf_conntrack_max", "500000", "# made by nettune: file\n[OPTIONS]\nnf_conntrack_max: 500000\n"),
    ],
)  # fmt: skip
def test_an_option_is_set_and_everything_else_stays(
    tmp_path: Path, text: str | None, option: str, value: str, becomes: str
) -> None:
    """In its line, under its section's headline, or in a section or file of its own; and all as it was afterwards."""
    path = tmp_path / "host.fw"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    was = options(text or "").get(option, "unset")
    wrote(path, option, value)
    became = path.read_text(encoding="utf-8")
    wrote(path, option, value)
    again = path.read_text(encoding="utf-8")
    wrote(path, option, was)

    assert became == again == becomes
    assert options(became)[option] == value
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == text
    assert list(tmp_path.iterdir()) == ([path] if text is not None else [])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_TEXT, st.permutations(list(OPTIONS.values())))
def test_whatever_the_file_has_it_is_the_same_after_all_is_taken_back(
    tmp_path: Path, text: str, order: list[str]
) -> None:
    """Options set in one order and taken back in it; of one that stands twice only the lines that count are touched."""
    path = tmp_path / "host.fw"
    path.write_text(text, encoding="utf-8")
    before = options(text)
    twice = [
        each for each in OPTIONS.values() if sum(line.lower().startswith(f"{each}:") for line in text.splitlines()) > 1
    ]
    for option in order:
        wrote(path, option, "60")
    held = options(path.read_text(encoding="utf-8"))
    for option in order:
        wrote(path, option, before.get(option, "unset"))
    after = path.read_text(encoding="utf-8")

    assert {each: held[each] for each in OPTIONS.values()} == dict.fromkeys(OPTIONS.values(), "60")
    assert options(after) == before
    if not twice:
        assert after == text


def test_what_the_firewall_keeps_is_set_in_its_file_first_and_as_it_makes_it() -> None:
    """While it is on; the sysctl itself is set too, since it looks every ten seconds only."""
    changes = (Change("pve1", "sysctl/net.netfilter.nf_conntrack_max", "1000000"),)

    def now(enable: str) -> dict[str, FactSheet]:
        return {"pve1": FactSheet("pve1", {"host.fw/enable": enable})}

    assert kept(changes, now("1")) == (
        Change("pve1", "host.fw/nf_conntrack_max", "1000000"),
        Change("pve1", "sysctl/net.netfilter.nf_conntrack_max", "1007616"),
    )
    assert kept(changes, now("0")) == ()
    assert kept(changes, {"pve1": FactSheet("pve1", {})}) == ()
    assert kept((Change("pve1", "sysctl/net.core.rmem_max", "1"),), now("1")) == ()
    assert [effective("nf_conntrack_max", each) for each in ("40000", "262145")] == ["262144", "270336"]


@pytest.mark.parametrize(
    ("option", "value"), [("nf_conntrack_max", "1000"), ("nf_conntrack_max", "many"), (ESTABLISHED, "60"),
                          ("nf_conntrack_tcp_timeout_syn_recv", "120")]
)  # fmt: skip
def test_what_the_firewall_does_not_take_is_refused_with_its_range(option: str, value: str) -> None:
    """By the schema of its API."""
    sheets = {"pve1": FactSheet("pve1", {"host.fw/enable": "1"})}
    with pytest.raises(NotSettable, match=f"takes .* to .* for {option}, not {value}"):
        kept((Change("pve1", f"sysctl/net.netfilter.{option}", value),), sheets)


def test_a_node_tells_its_options_and_whether_the_firewall_is_on() -> None:
    """By its two files, of which either may be absent."""
    told = f"==> {pve_firewall.CLUSTER_FW} <==\n[OPTIONS]\nenable: 1\n\n==> {HOST_FW} <==\n{HOST}"

    assert pve_firewall.parse(told) == {
        "host.fw/enable": "1",
        "host.fw/nf_conntrack_max": "300000",
        f"host.fw/{ESTABLISHED}": "unset",
        "host.fw/nf_conntrack_tcp_timeout_syn_recv": "unset",
        "host.fw/nftables": "unset",
    }
    assert pve_firewall.parse_backend("nftables\nabsent\n") == {
        "host.fw/backend": "nftables",
        "host.fw/proxmox-firewall": "absent",
    }
    assert set(pve_firewall.parse("").values()) == {"0", "unset"}


def test_no_setting_has_the_knob_that_writes_it() -> None:
    """A profile says the sysctl."""
    assert knob_for("host.fw") is None
    assert KNOBS["host.fw"].words() == ()
    assert owner("host.fw/nf_conntrack_max") is KNOBS["host.fw"]
    assert not KNOBS["host.fw"].owns("host.fw/enable")


class _Guests:
    """Guests that are started anew; nothing here does it."""

    def facts(self, host: str) -> dict[str, str]:
        """See Restarts.facts."""
        del host
        return {}

    def restart(self, wanted: Wanted) -> None:
        """See Restarts.restart."""

    def fresh(self) -> None:
        """See Restarts.fresh."""


NODE = {"host.fw/enable": "1", "host.fw/nftables": "unset", "host.fw/backend": "iptables",
        "host.fw/proxmox-firewall": "active"}  # fmt: skip


def backend(facts: dict[str, str], value: str = "on", *, vms: bool = True) -> tuple[Change, ...]:
    """The changes of `pve-nftables` on a node with these facts."""
    lab = Lab(Topology("pve"), (), (Local("pve1"),), (), restarting=_Guests() if vms else None)
    return Backend().changes("pve-nftables", value, lab, "node", {"pve1": FactSheet("pve1", facts)})


def test_a_backend_is_an_option_and_what_the_kernel_has_of_it() -> None:
    """Written first and then waited for, in whatever order they come; no option is off."""
    changes = backend(NODE)
    option, waits = Backend().writes(changes[::-1])

    assert [(each.key, each.wanted) for each in changes] == [("host.fw/nftables", "1"), ("host.fw/backend", "nftables")]
    assert option.argv[-2:] == ("nftables", "1")
    assert "nft list table inet proxmox-firewall" in waits.argv[2]
    assert Backend().holds("0", "unset")
    assert Backend().holds("unset", "0")
    assert not Backend().holds("1", "unset")
    assert not Backend().holds("unset", None)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "no node of Proxmox VE that is reached by SSH"),
        (NODE | {"host.fw/enable": "0"}, "the cluster's firewall is off"),
        (NODE | {"host.fw/proxmox-firewall": "absent"}, "proxmox-firewall does not run on pve1"),
    ],
)
def test_a_node_that_cannot_change_its_backend_is_told_why(facts: dict[str, str], said: str) -> None:
    """Before anything is written; containers, which are not started anew, are told too."""
    with pytest.raises(NotSettable, match=said):
        backend(facts)
    with pytest.raises(NotSettable, match="these are no VMs"):
        backend(NODE, vms=False)
