"""netN: what is not changed stands as it stood; what a change does to a VM that runs."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts import vm_nics
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.pve import vnic
from bench.pve.vnic import MODELS, UNSET, NotAVnic

# As the real parser of qemu-server took them, in its tests and in configurations that people show.
SEEN = (
    "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,trunks=10;20-30",
    "e1000=BC:24:11:AA:BB:CC,bridge=vmbr0,link_down=1,rate=12.5",
    "virtio,bridge=vmbr1,macaddr=bc:24:11:aa:bb:cc,queues=4",
    "model=virtio,macaddr=BC:24:11:AA:BB:CC,bridge=vmbr0",
    "virtio",
    "host-tunnel=0,virtio=BC:24:11:AA:BB:CC,tag=5,bridge=vnet0",
)
_VALUE = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789.:;-_", min_size=1, max_size=12)
_MAC = st.lists(st.text("0123456789ABCDEFabcdef", min_size=2, max_size=2), min_size=6, max_size=6).map(":".join)
_FIRST = st.one_of(
    st.sampled_from(MODELS),
    st.tuples(st.sampled_from(MODELS), _MAC).map("=".join),
    st.sampled_from(MODELS).map("model={}".format),
)
_KEY = st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=3, max_size=12).filter(
    lambda key: key not in {*MODELS, "model", "macaddr", "queues", "rate"}
)


@st.composite
def nets(draw: st.DrawFn) -> str:
    """A netN with words that nobody knows, in any order."""
    rest = draw(st.dictionaries(_KEY, _VALUE, max_size=5))
    words = [draw(_FIRST), *(f"{key}={value}" for key, value in rest.items())]
    return ",".join(draw(st.permutations(words)))


@pytest.mark.parametrize("text", SEEN)
def test_what_is_read_is_printed_as_it_was(text: str) -> None:
    """Each spelling."""
    assert str(vnic.parse(text)) == text


@given(nets())
def test_nothing_is_lost_of_what_nobody_knows(text: str) -> None:
    """Printed byte for byte; also once an option was set and taken away again."""
    of = vnic.parse(text)

    assert str(of) == text
    assert str(of.changed({"queues": "4", "rate": "5"}).changed({"queues": UNSET, "rate": UNSET})) == text


@given(nets(), st.sampled_from(MODELS), st.integers(1, 64))
def test_a_change_touches_its_own_word_alone(text: str, model: str, queues: int) -> None:
    """Model and queues; MAC, trunks and all else are what they were, in their places."""
    before = vnic.parse(text)
    after = vnic.parse(str(before.changed({"model": model, "queues": str(queues)})))
    others = [(key, value) for key, value in before.options.items() if key != "model"]

    assert after.options == {**dict(others), "model": model, "queues": str(queues)}
    assert [word for word in str(after).split(",") if word in text.split(",")] == [
        word for word in text.split(",") if word in str(after).split(",")
    ]


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [
        ({"queues": "4"}, "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,trunks=10;20-30,queues=4"),
        ({"model": "e1000"}, "e1000=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,trunks=10;20-30"),
        ({"firewall": "0"}, "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=0,trunks=10;20-30"),
        ({"firewall": UNSET}, "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,trunks=10;20-30"),
        ({"rate": UNSET}, SEEN[0]),
    ],
)
def test_mac_trunks_and_firewall_are_kept(wanted: dict[str, str], printed: str) -> None:
    """What other tools lose."""
    assert str(vnic.parse(SEEN[0]).changed(wanted)) == printed


@pytest.mark.parametrize(
    ("wanted", "unplugs"),
    [
        ({"queues": "4"}, {"queues"}),
        ({"queues": "1"}, set()),  # what no queues means
        ({"model": "e1000"}, {"model"}),
        ({"macaddr": "BC:24:11:00:00:01"}, {"macaddr"}),
        ({"mtu": "9000"}, {"mtu"}),
        ({"rate": "100"}, set()),
        ({"firewall": "0"}, set()),
        ({"link_down": "1"}, set()),
        ({"bridge": "vmbr1"}, set()),
        ({"tag": "5"}, set()),
        ({"bridge": UNSET}, {"bridge"}),
    ],
)
def test_what_unplugs_a_nic(wanted: dict[str, str], unplugs: set[str]) -> None:
    """By vmconfig_update_net."""
    of = vnic.parse(SEEN[0].replace("virtio=", "macaddr=").replace("macaddr", "virtio,macaddr"))
    after = of.changed(wanted)

    assert set(vnic.unplugs(of, after)) == unplugs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty word has no value"),
        ("bridge=vmbr0", "names no model"),
        ("virtio,e1000", "model stands twice"),
        ("virtio,bridge=a,bridge=b", "bridge stands twice"),
        ("virtio,bridge", "bridge has no value"),
        ("virtio,bridge=", "bridge has no value"),
        ("model=floppy,bridge=vmbr0", "names no model"),
        ("virtio=nonsense", "is no MAC"),
    ],
)
def test_what_is_no_net_is_refused(text: str, said: str) -> None:
    """With the text, before anything is set."""
    with pytest.raises(NotAVnic, match=said):
        vnic.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_net_or_refused(text: str) -> None:
    """Nothing else."""
    with contextlib.suppress(NotAVnic):
        assert str(vnic.parse(text)) == text


def test_queues_and_mtu_are_of_virtio_alone() -> None:
    """Proxmox VE would start the VM without them."""
    assert vnic.problem(vnic.parse("e1000,queues=4"), ["queues"]) == "a e1000 takes no queues: virtio alone does"
    assert "mtu" in vnic.problem(vnic.parse("e1000,mtu=9000"), ["model", "mtu"])
    assert vnic.problem(vnic.parse("e1000,mtu=9000"), ["model"]) == ""  # what stood there stays, and is ignored
    assert vnic.problem(vnic.parse("e1000,queues=1,bridge=vmbr0"), ["queues"]) == ""
    assert vnic.problem(vnic.parse("virtio,mtu=9000,queues=4"), ["mtu", "queues"]) == ""


SET = ("queues=4", "queues=unset", "model=e1000", "model=virtio", "rate=5", "rate=unset", "firewall=0", "mtu=unset")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(nets(), st.lists(st.sampled_from(SET), min_size=1, max_size=3))
def test_a_node_changes_it_as_we_do(text: str, wanted: list[str]) -> None:
    """The script that runs there, with qm in its place: what it would set is what is printed here."""
    options = dict(each.split("=") for each in wanted)
    command = vm_nics.set_("vnic/101/net0/queues", options)
    stand_in = f"qm() {{ [ \"$1\" = config ] && printf 'net0: %s\\n' '{text}' || printf 'set %s' \"$4\"; }}\n"
    told = Local().run(Command(("sh", "-c", stand_in + command.argv[2], *command.argv[3:]))).require().stdout
    after = str(vnic.parse(text).changed(options))

    assert told == ("" if after == text else f"set {after}")


PENDING = """\
cur cores: 4
cur net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0
new net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,queues=4
cur net1: e1000,rate=5
del net2: virtio
cur net3: what nobody reads
"""


def test_a_vms_nics_are_told_as_they_will_be_and_what_waits_by_name() -> None:
    """What `qm pending` prints; a VM that is not there has none."""
    outcome = Outcome(vm_nics.question("101"), "pve1", 0, PENDING, "", 0.1)
    facts = vm_nics.parse(outcome)

    assert facts["vnic/101/net0/queues"] == "4"
    assert (facts["vnic/101/net1/model"], facts["vnic/101/net1/rate"]) == ("e1000", "5")
    assert {key.split("/")[2] for key in facts} == {"net0", "net1"}
    assert vm_nics.waiting(outcome) == ("net0",)
    assert vm_nics.parse(Outcome(vm_nics.question("101"), "pve1", 2, "", "does not exist", 0.1)) == {}
    assert vm_nics.of_keys([*facts, "link/eth0/mtu"]) == ("101",)
    with pytest.raises(ValueError, match="is no virtual NIC's"):
        vm_nics.set_("link/eth0/mtu", {})
