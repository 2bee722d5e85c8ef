"""Plans: what is wrong is named by file, line, key and nearest name; what is right can be stored and read again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import document
from bench.labs.topology import Topology
from bench.plan import Plan, SettingSpec, load, parse, shipped
from bench.plan_settings import confirmation, written
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from results.errors import WrongInput
from results.records import TOGETHER, Guard
from tuning.knobs.table import check

PLAN = """\
name: my-path
about: What this is for.
lab: {provider: netns}
topologies: [bridge, {kind: routed, mtu: 9000}]
probes:
  - {kind: tcp, duration_s: 0.8, warmup_s: 0.2}
  - {kind: latency, duration_s: 0.6}
primary: tcp.goodput
treatments:
  no-tso: {tso: off, gso: off}
  guests: {settings: {tso: off, mtu: {value: 9000, target: path}}, target: guest}
blocks: 8
"""


def _plan(text: str = PLAN, *overrides: str) -> Plan:
    return parse(document.read(text, "my.yaml"), check=check, overrides=overrides)


def _stored(plan: Plan) -> Plan:
    return parse(document.from_plain(dict(plan.document), "the run's plan"), check=check)


BAD = {
    "unknown key": ("blocks: 8", "blocs: 8", "my.yaml:12: unknown key 'blocs'", "did you mean 'blocks'?"),
    "unknown probe key": ("duration_s: 0.6", "duration: 0.6", "my.yaml:7: probes[1]: unknown key 'duration'",
                          "did you mean 'duration_s'?"),
    "a unit in the value": ("duration_s: 0.8", "duration_s: 800ms",
                            "my.yaml:6: probes[0].duration_s: '800ms' is no number of seconds",
                                "write the bare number"),
    "a day of warm-up": ("warmup_s: 0.2", "warmup_s: 86400", "warmup_s: 86400 is outside 0 … 60 seconds", ""),
    "no duration": ("duration_s: 0.8", "duration_s: 0", "duration_s: 0 is outside", ""),
    "a negative duration": ("duration_s: 0.8", "duration_s: -1", "duration_s: -1 is outside", ""),
    "half a stream": ("warmup_s: 0.2", "streams: 1.5", "streams: 1.5 is no whole number of streams", ""),
    "a thousand streams": ("warmup_s: 0.2", "streams: 1000", "streams: 1000 is outside 1 … 128 streams", ""),
    "sideways": ("warmup_s: 0.2", "direction: sideways", "'sideways' is none of forward, reverse", ""),
    "no congestion control": ("warmup_s: 0.2", "congestion_control: 'rm -rf'", "is no name of a congestion control",
        ""),
    "a packet too small": ("duration_s: 0.6", "size_bytes: 8", "size_bytes: 8 is outside 60 … 65000 bytes", ""),
    "unknown probe": ("kind: latency", "kind: latncy", "probes[1].kind: 'latncy' is none of tcp, udp, rate, latency",
                      "did you mean 'latency'?"),
    "a probe without kind": ("kind: latency, ", "", "my.yaml:7: probes[1]: a probe needs a kind", "kind: tcp"),
    "doubled probes": ("{kind: latency", "{kind: tcp", "my.yaml:7: probes[1]: the name 'tcp' has a dot or stands twice",
                       "give each probe its own name"),
    "a dot in a probe's name": ("{kind: latency", "{name: a.b, kind: latency", "the name 'a.b' has a dot", ""),
    "no probes": ("  - {kind: tcp, duration_s: 0.8, warmup_s: 0.2}\n  - {kind: latency, duration_s: 0.6}\n", "  []\n",
                  "my.yaml:5: probes: the plan has no probe", ""),
    "probes are missing": (("probes:\n  - {kind: tcp, duration_s: 0.8, warmup_s: 0.2}\n"
                           "  - {kind: latency, duration_s: 0.6}\n"), "", "my.yaml:1: the plan has no 'probes'", ""),
    "probes are no list": (("probes:\n  - {kind: tcp, duration_s: 0.8, warmup_s: 0.2}\n"
                           "  - {kind: latency, duration_s: 0.6}\n"), "probes: tcp\n",
                           "my.yaml:5: probes: a list belongs here, not 'tcp'", ""),
    "no name": ("name: my-path\n", "", "the plan has no 'name'", ""),
    "a name with a slash": ("name: my-path", "name: ../x", "my.yaml:1: name: '../x' is no name", ""),
    "a name with capitals": ("name: my-path", "name: MyPath", "'MyPath' is no name", ""),
    "no topology": ("[bridge, {kind: routed, mtu: 9000}]", "[]", "topologies: the plan has no topology", ""),
    "unknown topology": ("[bridge,", "[brigde,", "my.yaml:4: topologies[0]: 'brigde' is none of direct, bridge, bond",
                         "did you mean 'bridge'?"),
    "a VLAN without its id": ("[bridge,", "[vlan,", "my.yaml:4: topologies[0]: a vlan needs its id", "id: 10"),
    "VLAN 5000": ("[bridge,", "[{kind: vlan, id: 5000},",
                  "my.yaml:4: topologies[0].id: 5000 is outside 1 … 4094 (a VLAN's id)", ""),
    "a bond of one": ("[bridge,", "[{kind: bond, legs: 1},", "my.yaml:4: topologies[0].legs: 1 is outside 2 … 8 legs",
        ""),
    "a bond that is none": ("[bridge,", "[{kind: bond, mode: lacp},",
        "topologies[0].mode: 'lacp' is none of balance-rr", ""),
    "an MTU above the port's": ("[bridge,", "[{kind: vlan, id: 10, tagged: on, mtu: 9000, port_mtu: 1500},",
        "my.yaml:4: topologies[0].mtu: an MTU of 9000 is above its port's (1500)", "port_mtu: 9000 or more"),
    "a port below no VLAN": ("[bridge,", "[{kind: vlan, id: 10, port_mtu: 9000},",
        "topologies[0].port_mtu: only tagged VLANs have a port below them", "tagged: on"),
    "overlapping subnets": ("[bridge,", "[{kind: routed, subnets: {a: 10.0.0.0/24, b: 10.0.0.128/25}},",
        "my.yaml:4: topologies[0].subnets: subnets 10.0.0.0/24 of a and 10.0.0.128/25 of b overlap",
            "subnets must not overlap"),
    "a subnet over a planned one": ("[bridge,", "[{kind: nat, subnets: {b: 198.18.0.0/16}},",
        "subnets 198.18.0.0/16 of b and 198.18.0.0/24 of a overlap", ""),
    "a subnet with host bits": ("[bridge,", "[{kind: routed, subnets: {a: 10.0.0.1/24}},",
        "topologies[0].subnets.a: '10.0.0.1/24' is no subnet: 10.0.0.1/24 has host bits set", ""),
    "two subnets of a family": ("[bridge,", "[{kind: routed, subnets: {a: [10.0.0.0/24, 10.1.0.0/24]}},",
        "a has two subnets of IPv4", ""),
    "a subnet of nobody": ("[bridge,", "[{kind: routed, subnets: {c: 10.0.0.0/24}},", "there is no endpoint c",
        "ends: 3"),
    "subnets of a bridge": ("[bridge,", "[{kind: firewall, subnets: {a: 10.0.0.0/24}},",
        "topologies[0].subnets: only a routed path has subnets of its own", "hook: inet"),
    "a prefix too small": ("[bridge,", "[{kind: routed, ends: 4, prefix: 10.0.0.0/31},",
        "topologies[0].prefix: prefix 10.0.0.0/31 cannot be cut into 4 subnets", ""),
    "a prefix of the other family": ("[bridge,", "[{kind: routed, prefix: '2001:db8::/48'},",
        "prefix: 2001:db8::/48 is of IPv6, and IPv4 belongs here", ""),
    "multicast": ("[bridge,", "[{kind: routed, prefix: 224.0.0.0/4},", "224.0.0.0/4 is of no use between hosts", ""),
    "reordering without delay": ("[bridge,", "[{kind: bridge, reorder_pct: 5},",
        "topologies[0].reorder_pct: packets can overtake only where there is a delay", "delay_ms"),
    "delay with no node": ("[bridge,", "[{kind: direct, delay_ms: 5},", "topologies[0]: unknown key 'delay_ms'", ""),
    "IPv6 below its least MTU": ("[bridge,", "[{kind: bridge, ip: 6, mtu: 1000},",
        "topologies[0].mtu: IPv6 needs an MTU of 1280 or more, not 1000", ""),
    "a third family": ("[bridge,", "[{kind: bridge, ip: 5},", "topologies[0].ip: '5' is none of 4, 6", ""),
    "policy routing for three": ("[bridge,", "[{kind: routed, routing: policy, ends: 3},",
        "topologies[0].ends: policy routing has two endpoints", ""),
    "too many rules": ("[bridge,", "[{kind: firewall, rules: 100000},", "rules: 100000 is outside 0 … 15000 rules", ""),
    "an endpoint that is not there": ("{kind: latency,", "{kind: latency, to: c,",
        "my.yaml:7: probes[1]: topology bridge has no endpoint 'c': it has a, b", "ends: 3"),
    "a probe to itself": ("{kind: latency,", "{kind: latency, to: a,", "my.yaml:7: probes[1]: it runs from a to itself",
        ""),
    "a client outside NAT": ("topologies: [bridge, {kind: routed, mtu: 9000}]\nprobes:\n  - {kind: tcp,",
        "topologies: [nat]\nprobes:\n  - {kind: tcp, from: b, to: a,",
        "b cannot connect to a, who is behind NAT on nat", "forward: on"),
    "a bridge of a Proxmox VE": ("provider: netns", "provider: proxmox", "provider proxmox builds no bridge",
        "topologies: [{kind: pve, bridge: vmbr0}]"),
    "a path of Proxmox's VMs elsewhere": ("topologies: [bridge", "topologies: [{kind: pve, bridge: vmbr0}, bridge",
        "a path of kind pve is one between VMs of a Proxmox VE", "provider: proxmox"),
    "guests of namespaces": ("provider: netns", "provider: netns, cpus: 2", "unknown key 'cpus'", ""),
    "an odd ring": ("provider: netns", "provider: qemu, ring: 300", "300 entries are no power of two", "256, 512"),
    "queues of vmxnet3": ("provider: netns", "provider: qemu, nic: vmxnet3, queues: 2", "only virtio-net has queues",
                         "nic: virtio-net"),
    "a guest without memory": ("provider: netns", "provider: qemu, memory_mb: 64", "384", ""),
    "unknown provider": ("provider: netns", "provider: docker", "'docker' is none of netns, qemu", ""),
    "doubled topology": ("[bridge,", "[bridge, {kind: bridge, mtu: 1500},", "topologies[1]: bridge stands twice",
        "name: …"),
    "a topology without kind": ("{kind: routed, mtu: 9000}", "{mtu: 9000}", "a topology needs a kind", ""),
    "a tiny MTU": ("mtu: 9000}]", "mtu: 60}]", "topologies[1].mtu: 60 is outside 576 … 65535 bytes", ""),
    "unknown primary": ("primary: tcp.goodput", "primary: tcp.goodputt",
        "primary: 'tcp.goodputt' is none of tcp.goodput",
                        "did you mean 'tcp.goodput'?"),
    "a primary of no probe": ("primary: tcp.goodput", "primary: udp.goodput", "my.yaml:8: primary: 'udp.goodput'", ""),
    "unknown knob": ("{tso: off, gso", "{tsoo: off, gso", "my.yaml:10: treatments.no-tso.tsoo: 'tsoo' is no knob",
                     "did you mean 'tso'?"),
    "unknown sysctl word": ("{tso: off, gso: off}", "{conegstion_control: reno}", "is no knob that nettune knows",
                            "did you mean 'congestion_control'?"),
    "a bad value": ("{tso: off, gso", "{tso: maybe, gso", "treatments.no-tso.tso: tso takes on or off, not 'maybe'",
        ""),
    "a mangling feature": ("{tso: off, gso: off}", "{loopback: on}", "it is never tuned", ""),
    "an MTU in words": ("{tso: off, gso: off}", "{mtu: jumbo}", "treatments.no-tso.mtu: mtu 'jumbo' is no MTU", ""),
    "two buffer sizes": ("{tso: off, gso: off}", "{net.ipv4.tcp_rmem: 4096 16384}", "takes three numbers of bytes", ""),
    "a control character": ("{tso: off, gso: off}", '{net.ipv4.tcp_ecn: "1\\0"}', "needs a value on one line", ""),
    "a value too many": ("{tso: off, gso: off}", "{tso: [off]}", "a single value belongs here, not a list", ""),
    "long form without a value": ("value: 9000, ", "", "my.yaml:11: treatments.guests.settings.mtu", ""),
    "unknown target": ("target: guest}", "target: gest}", "target: 'gest' is none of guest, node, path",
                       "did you mean 'guest'?"),
    "nothing set": ("{tso: off, gso: off}", "{}", "a treatment without a setting is current", ""),
    "named current": ("no-tso:", "current:",
        "my.yaml:10: treatments.current: 'current' cannot be a treatment's name", ""),
    "named current-again": ("no-tso:", "current-again:", "cannot be a treatment's name", ""),
    "a treatment with a slash": ("no-tso:", "a/b:", "'a/b' cannot be a treatment's name", ""),
    "doubled treatment": ("  guests:", "  no-tso:", "my.yaml:11: treatments.no-tso: this key stands twice", ""),
    "up to seven": ("blocks: 8", "blocks: {up_to: 7}", "my.yaml:12: blocks.up_to: looks are taken at 6, 12 and 20", ""),
    "up to a hundred": ("blocks: 8", "blocks: {up_to: 100}", "blocks.up_to: 100 is outside 6 … 20 blocks", ""),
    "up to nothing": ("blocks: 8", "blocks: {}", "write a number, or {up_to: 20}", ""),
    "one block": ("blocks: 8", "blocks: 1", "blocks: 1 is outside 2 … 1000 blocks", ""),
    "blocks in words": ("blocks: 8", "blocks: many", "blocks: 'many' is no number of blocks", ""),
    "no margin": ("blocks: 8", "margin_pct: 0", "margin_pct: 0 is outside 0.1 … 50 percent", ""),
    "unknown goal": ("blocks: 8", "goal: fast", "'fast' is none of throughput, balanced, latency", ""),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD.values(), ids=BAD)
def test_a_bad_plan_names_place_key_and_hint(old: str, new: str, words: str, hint: str) -> None:
    """One slip in a good plan; the error leads to it."""
    assert PLAN.count(old) == 1
    with pytest.raises(WrongInput) as raised:
        _plan(PLAN.replace(old, new))

    assert words in str(raised.value)
    assert hint in raised.value.hint


@pytest.mark.parametrize("word", ["congestion_control", "net.ipv4.tcp_congestion_control"])
def test_congestion_control_cannot_be_fixed_by_the_probe_and_changed_by_a_treatment(word: str) -> None:
    """The probe's own choice overrides the sysctl: such a treatment would measure nothing."""
    text = PLAN.replace("warmup_s: 0.2", "congestion_control: [bbr, reno]").replace(
        "{tso: off, gso: off}", f"{{{word}: reno}}"
    )
    with pytest.raises(WrongInput, match=r"my\.yaml:10: .*would override this") as raised:
        _plan(text)

    assert raised.value.hint == "take it out of the probe"


def test_a_sequential_plan_needs_something_to_stop() -> None:
    """up_to without a treatment has no arm that a look could drop."""
    text = PLAN[: PLAN.index("treatments")] + "treatments: {}\nblocks: {up_to: 12}\n"
    with pytest.raises(WrongInput, match=r"my\.yaml:10: blocks: up_to has nothing to stop early"):
        _plan(text)


def test_a_good_plan_is_what_it_says() -> None:
    """Kinds, defaults, long and short forms."""
    plan = _plan()

    assert plan.topologies == (Topology("bridge"), Topology("routed", 9000))
    assert plan.probes == (Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0), Latency("latency", 0.6, 0.001, 60))
    assert plan.treatments == {
        "no-tso": (SettingSpec("tso", "off", None), SettingSpec("gso", "off", None)),
        "guests": (SettingSpec("tso", "off", "guest"), SettingSpec("mtu", "9000", "path")),
    }
    assert (plan.blocks, plan.sequential, plan.margin_pct, plan.goal) == (8, False, 5.0, "throughput")


def test_the_design_holds_every_metric_and_guard_of_the_plan() -> None:
    """Guards are the metrics with a limit; the primary one guards nothing."""
    design = _plan().design

    assert design.topologies == ("bridge", "routed-mtu9000")
    assert design.treatments == ("no-tso", "guests")
    assert design.metrics == (
        "tcp.goodput", "tcp.retransmits", "tcp.cpu_per_10gbit", "tcp.drops",
        "latency.rtt_p50", "latency.rtt_p99", "latency.rtt_mean", "latency.loss",
    )  # fmt: skip
    assert design.guards == (
        Guard("tcp.cpu_per_10gbit", 0.10), Guard("tcp.drops", 0.0001, absolute=True), Guard("latency.rtt_p99", 0.10)
    )  # fmt: skip
    assert _plan(PLAN, "primary=latency.rtt_p99").design.guards == design.guards[:2]


OVERRIDES: dict[str, tuple[Sequence[str], dict[str, Any]]] = {  # Any: parts of a plan's document
    "a probe by its name": (["tcp.streams=4"], {"probes": [
        {"kind": "tcp", "duration_s": "0.8", "warmup_s": "0.2", "streams": "4"}, {"kind": "latency",
            "duration_s": "0.6"}]}),
    "the same in full": (["probes.tcp.streams=4"], {"probes": [
        {"kind": "tcp", "duration_s": "0.8", "warmup_s": "0.2", "streams": "4"}, {"kind": "latency",
            "duration_s": "0.6"}]}),
    "blocks": (["blocks={up_to: 12}"], {"blocks": {"up_to": "12"}}),
    "the last one counts": (["blocks=3", "blocks=4"], {"blocks": "4"}),
    "one treatment more": (["treatments.x={gro: on}"], {"treatments": {
        "no-tso": {"tso": "off", "gso": "off"},
        "guests": {"settings": {"tso": "off", "mtu": {"value": "9000", "target": "path"}}, "target": "guest"},
        "x": {"gro": "on"}}}),
    "other treatments": (["treatments={x: {mtu: 9000}}"], {"treatments": {"x": {"mtu": "9000"}}}),
    "a value with an equals sign": (["about=a=b"], {"about": "a=b"}),
    "nothing": (["about="], {"about": ""}),
    "a list": (["topologies=[direct]"], {"topologies": ["direct"]}),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_an_override_replaces_its_key_only(overrides: Sequence[str], expected: dict[str, Any]) -> None:
    """--set reaches every key, and the document that is kept has it."""
    assert _plan(PLAN, *overrides).document == dict(_plan().document) | expected


BAD_OVERRIDES = {
    "no equals sign": ("tcp.streams", "--set tcp.streams: write key=value", "--set tcp.streams=4"),
    "no key": ("=4", "--set =4: write key=value", ""),
    "unknown probe": ("udp.streams=4", "--set udp.streams=4: the plan has no key and no probe 'udp'", "probes:"),
    "a slip in a key": ("blcoks=4", "--set blcoks=4: the plan has no key and no probe 'blcoks'",
                        "did you mean 'blocks'?"),
    "unknown key of a probe": ("tcp.streems=4", "unknown key 'streems'", "did you mean 'streams'?"),
    "a bad number": ("tcp.streams=many", "--set tcp.streams=many: probes[0].streams: 'many' is no number", ""),
    "no YAML": ("blocks={", "--set blocks={", ""),
    "a bad knob": ("treatments.x={tsoo: off}", "--set treatments.x={tsoo: off}: treatments.x.tsoo: 'tsoo' is no knob",
                   "did you mean 'tso'?"),
    "below a scalar": ("name.x=4", "--set name.x=4: name has no members", ""),
}  # fmt: skip


@pytest.mark.parametrize(("override", "words", "hint"), BAD_OVERRIDES.values(), ids=BAD_OVERRIDES)
def test_a_bad_override_is_named_as_it_was_typed(override: str, words: str, hint: str) -> None:
    """The place of the error is the option, not a line of the file."""
    with pytest.raises(WrongInput) as raised:
        _plan(PLAN, override)

    assert words in str(raised.value)
    assert hint in raised.value.hint


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n"])
def test_what_is_no_plan_at_all_is_wrong_input(text: str) -> None:
    """An empty file, a sentence, a list."""
    with pytest.raises(WrongInput, match=r"my\.yaml:1: "):
        _plan(text)


def test_a_plan_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    """A slip in a shipped name, a missing file, a folder, a file that is no text."""
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WrongInput, match="no plan 'quik': No such file") as raised:
        load("quik", check=check)
    with pytest.raises(WrongInput, match="Is a directory"):
        load(str(tmp_path), check=check)
    with pytest.raises(WrongInput, match="it is no text"):
        load(str(tmp_path / "bytes.yaml"), check=check)

    assert raised.value.hint == "did you mean 'quick'?"


def test_a_file_is_named_by_its_last_part(tmp_path: Path) -> None:
    """Errors stay short."""
    (tmp_path / "mine.yaml").write_text("name: x\n", encoding="utf-8")
    with pytest.raises(WrongInput, match=r"^mine\.yaml:1: the plan has no 'topologies'"):
        load(str(tmp_path / "mine.yaml"), check=check)


@pytest.mark.parametrize("name", shipped())
def test_every_plan_that_ships_loads_and_says_what_it_answers(name: str) -> None:
    """Its name is its file's; it has an about, and reads the same once stored."""
    plan = load(name, check=check, sited=False)

    assert plan.name == name
    assert plan.about
    assert _stored(plan) == plan


CONTROLS = {
    "the first": (["bbr", "reno", "cubic"], "bbr"), "the second": (["reno", "cubic"], "reno"),
}  # fmt: skip


@pytest.mark.parametrize(("available", "expected"), CONTROLS.values(), ids=CONTROLS)
def test_congestion_control_is_the_first_preference_that_the_kernel_has(available: list[str], expected: str) -> None:
    """One plan runs everywhere, and says what it ran with."""
    plan = _plan(PLAN, "tcp.congestion_control=[bbr, reno]").with_congestion_control(available)

    assert cast("Tcp", plan.probes[0]).congestion_control == expected


def test_a_congestion_control_that_the_kernel_lacks_is_wrong_input() -> None:
    """The hint is the option that would run here."""
    with pytest.raises(
        WrongInput, match="probe tcp wants congestion control bbr; this kernel offers reno, cubic"
    ) as raised:
        _plan(PLAN, "tcp.congestion_control=bbr").with_congestion_control(["reno", "cubic"])

    assert raised.value.hint == "--set tcp.congestion_control=reno"


def test_without_a_wish_the_kernel_chooses() -> None:
    """A probe that names no congestion control gets none."""
    assert _plan().with_congestion_control(["reno"]) == _plan()


def test_one_winner_is_confirmed_alone() -> None:
    """No arm of all together where there is one."""
    plan = parse(confirmation(_plan().document, ["guests"], 12), check=check)

    assert plan.treatments == {"guests": _plan().treatments["guests"]}
    assert (plan.blocks, plan.sequential) == (12, False)


def test_several_winners_are_confirmed_each_and_together() -> None:
    """The arm of all keeps every setting with its value and target; on the same setting the better winner's counts."""
    document_of = _plan(PLAN, "treatments.buffers={net.ipv4.tcp_rmem: 4096 16384 16384}", "blocks={up_to: 20}").document
    plan = parse(confirmation(document_of, ["guests", "no-tso", "buffers"], 15), check=check)

    assert list(plan.treatments) == ["guests", "no-tso", "buffers", TOGETHER]
    assert plan.treatments[TOGETHER] == (
        SettingSpec("tso", "off", "guest"),
        SettingSpec("mtu", "9000", "path"),
        SettingSpec("gso", "off", None),
        SettingSpec("net.ipv4.tcp_rmem", "4096 16384 16384", None),
    )
    assert (plan.blocks, plan.sequential) == (15, False)


TWICE = """treatments:
  two: {settings: {net.core.netdev_budget: [{value: 600, target: guest}, {value: 900, target: node}]}}
  one: {settings: {net.core.netdev_budget: 300}, target: node}
"""


def test_a_setting_may_stand_on_ends_and_nodes_with_a_value_of_its_own() -> None:
    """A list of long forms; confirmed together each place keeps the better winner's value."""
    own = _plan(PLAN.partition("treatments:")[0] + TWICE)
    both = (SettingSpec("net.core.netdev_budget", "600", "guest"), SettingSpec("net.core.netdev_budget", "900", "node"))
    confirming = parse(confirmation(own.document, ["one", "two"], 12), check=check)
    again = {**own.document, "treatments": {"two": {"settings": written(own.treatments["two"])}}}

    assert own.treatments["two"] == both
    assert set(confirming.treatments[TOGETHER]) == {both[0], SettingSpec("net.core.netdev_budget", "300", "node")}
    assert parse(document.from_plain(again, "again"), check=check).treatments == {"two": both}


def test_a_setting_that_stands_twice_on_one_target_is_refused() -> None:
    """By name; which of both values was meant nobody can tell."""
    with pytest.raises(WrongInput, match="netdev_budget is set twice on one target"):
        _plan(PLAN.partition("treatments:")[0] + TWICE.replace("guest", "node"))


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,6}", fullmatch=True)
SETTINGS = st.dictionaries(
    st.sampled_from(("tso", "gro", "sg")), st.sampled_from(("on", "off", "yes", "False")), min_size=1, max_size=3
)
LONG = st.fixed_dictionaries({"settings": SETTINGS}, optional={"target": st.sampled_from(("guest", "node", "path"))})
PLANS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "topologies": st.lists(
            st.sampled_from(("direct", "bridge")) | st.fixed_dictionaries({"kind": st.just("routed")}), min_size=1,
            max_size=2, unique_by=str,
        ),
        "probes": st.fixed_dictionaries(
            {"kind": st.just("tcp")},
            optional={"streams": st.integers(1, 128), "duration_s": st.floats(0.3, 3600),
                      "direction": st.sampled_from(("forward", "reverse"))},
        ).map(lambda probe: [probe]),
        "primary": st.just("tcp.goodput"),
    },
    optional={
        "about": st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        "treatments": st.dictionaries(NAMES, SETTINGS | LONG, max_size=3),
        "blocks": st.integers(2, 1000),
        "margin_pct": st.floats(0.1, 50),
    },
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(tree=PLANS)
def test_any_plan_that_loads_reads_the_same_once_stored(tree: dict[str, object]) -> None:
    """--resume and --confirm go on from the stored document: nothing may be lost in it."""
    plan = _plan(yaml.safe_dump(tree, allow_unicode=True))

    assert _stored(plan) == plan


RATES = """\
name: rates
topologies: [bridge]
probes:
  - {kind: tcp, duration_s: 0.8}
  - {kind: udp, rate_mbit: 100, size_bytes: 1400, duration_s: 0.8}
  - {kind: latency, duration_s: 0.6, load: {pct: 50, of: tcp.goodput}}
  - {kind: rr, connections: 2, threads: 2}
primary: tcp.goodput
"""
BAD_RATES = {  # name -> (text to replace, replacement, words of the error, words of its hint)
    "a load of a later probe": ("of: tcp.goodput}", "of: rr.requests}",
        "my.yaml:6: probes[2].load.of: 'rr.requests' is no rate of an earlier probe: earlier probes have tcp",
                                "tcp.goodput"),
    "a load of no rate": ("of: tcp.goodput}", "of: tcp.drops}", "probes[2].load.of: 'tcp.drops' is no rate", ""),
    "a load without a share": ("pct: 50, ", "", "my.yaml:6: probes[2].load: it has no 'pct'", ""),
    "more than all": ("pct: 50", "pct: 150", "probes[2].load.pct: 150 is outside 1 … 100 per cent", ""),
    "a load to itself": ("of: tcp.goodput}", "of: tcp.goodput, from: b}",
        "probes[2].load: it runs from b to itself", ""),
    "a load elsewhere": ("of: tcp.goodput}", "of: tcp.goodput, from: c}",
        "my.yaml:6: probes[2].load: topology bridge has no endpoint 'c': it has a, b", "ends: 3"),
    "sockperf over IPv6": ("topologies: [bridge]\nprobes:\n",
        "topologies: [{kind: bridge, ip: 6}]\nprobes:\n  - {kind: latency, name: long, duration_s: 6}\n",
        "sockperf (3.7) knows no IPv6, which bridge-ip6 is measured by", "tool: irtt"),
    "a probe elsewhere": ("{kind: rr,", "{kind: rr, to: d,",
        "my.yaml:7: probes[3]: topology bridge has no endpoint 'd': it has a, b", "ends: 4"),
    "a slip in a load": ("of: tcp", "off: tcp", "unknown key 'off'", "did you mean 'of'?"),
    "sockperf for a short window": ("duration_s: 0.6,", "duration_s: 0.6, tool: sockperf,",
        "my.yaml:6: probes[2].tool: sockperf takes 2.2 s to start, so its window is 5 s or more, not 0.6 s",
                                    "tool: irtt"),
    "sockperf at a slow pace": ("duration_s: 0.6,", "duration_s: 10, interval_s: 2, tool: sockperf,",
        "probes[2].interval_s: sockperf sends once a second or more often", "tool: irtt"),
    "datagrams above the MTU": ("size_bytes: 1400", "size_bytes: 1473",
        "my.yaml:5: probes[1].size_bytes: 1473 bytes do not fit the MTU 1500 of bridge: that holds 1472",
                                "size_bytes: 1472, or fragments: on"),
    "threads without a connection": ("threads: 2}", "threads: 3}",
        "my.yaml:7: probes[3].threads: 3 threads have 2 connections to share", ""),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD_RATES.values(), ids=BAD_RATES)
def test_options_of_probes_that_contradict_are_named(old: str, new: str, words: str, hint: str) -> None:
    """Each other, an earlier probe, or the plan's topologies."""
    assert RATES.count(old) == 1
    with pytest.raises(WrongInput) as raised:
        _plan(RATES.replace(old, new))

    assert words in str(raised.value)
    assert hint in raised.value.hint


def test_datagrams_above_the_mtu_may_be_meant() -> None:
    """fragments: on says so."""
    plan = _plan(RATES.replace("size_bytes: 1400", "size_bytes: 8000, fragments: on"))

    assert getattr(plan.probes[1], "size_bytes", 0) == 8000


@pytest.mark.parametrize(("duration_s", "expected"), [(0.6, "irtt"), (4.9, "irtt"), (5, "sockperf"), (60, "sockperf")])
def test_long_windows_are_sockperfs_unless_told_otherwise(duration_s: float, expected: str) -> None:
    """Its 2.2 s of start weigh less there."""
    plan = _plan(RATES.replace("duration_s: 0.6", f"duration_s: {duration_s}"))

    assert getattr(plan.probes[2], "tool", "") == expected


def test_a_load_is_made_of_the_tcp_that_measured_its_capacity() -> None:
    """The same congestion control, as the kernel has it."""
    plan = _plan(RATES.replace("{kind: tcp,", "{kind: tcp, congestion_control: [bbr, reno],"))
    loaded = plan.with_congestion_control(("reno", "cubic")).probes[2]

    assert isinstance(loaded, Latency)
    assert loaded.load is not None
    assert loaded.load.congestion_control == "reno"


def test_what_current_carries_is_asked_for_by_the_loads_that_are_a_share_of_it() -> None:
    """The same arm's is known from its own trial."""
    same = _plan(RATES)
    current = _plan(RATES.replace("of: tcp.goodput}", "of: tcp.goodput, capacity: current}"))

    assert [each.calibrates for each in same.probes] == [(), (), (), ()]
    assert [each.calibrates for each in current.probes] == [(), (), ("tcp.goodput",), ()]
    assert "under 50 % of current's tcp.goodput" in current.design.definitions["latency.rtt_p50"]
