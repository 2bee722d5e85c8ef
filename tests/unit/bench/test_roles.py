"""What rides on a device: a hypervisor's stack as iproute2 tells it, Proxmox's files, and stacks that are made up."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import riding
from bench.facts.roles import (
    CONNECTION,
    QUESTIONS,
    TUNNELLED,
    Link,
    Role,
    Stack,
    Word,
    began,
    links,
    resolved,
    routes,
    rows,
)
from bench.facts.tailed import files
from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.unit.bench.fakes import FakeHost

SSH = ("192.0.2.50", "51000", "192.0.2.10", "22")
HYPERVISOR = (
    Link("lo", addresses=("127.0.0.1/8",)),
    Link("enp1s0", master="bond0"),
    Link("enp2s0", master="bond0"),
    Link("enp3s0", addresses=("10.20.0.1/24",)),
    Link("enp4s0"),
    Link("bond0", kind="bond", master="vmbr0"),
    Link("vmbr0", kind="bridge"),
    Link("vmbr0.10", kind="vlan", below=("vmbr0",), addresses=("192.0.2.10/24", "2001:db8::10/64")),
    Link("tap100i0", kind="tun", master="vmbr0"),
    Link("fwpr101p0", kind="veth", master="vmbr0"),
    Link("storage0", kind="vlan", below=("enp3s0",), addresses=("10.30.0.1/24",)),
    Link("vmbr1", kind="bridge"),
    Link("enp5s0", master="vmbr1"),
    Link("tap200i0", kind="tun", master="vmbr1"),
)
BY = routes(
    [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "vmbr0.10"},
        {"dst": "192.0.2.0/24", "dev": "vmbr0.10"},
        {"dst": "10.20.0.0/24", "dev": "enp3s0"},
        {"dst": "10.30.0.0/24", "dev": "storage0"},
        {"dst": "198.51.100.7", "dev": "enp4s0"},
    ],
    [{"dst": "default", "nexthops": [{"dev": "vmbr0.10"}]}, {"dst": "2001:db8::/64", "dev": "vmbr0.10"}],
)
PVE = files("""\
==> /etc/pve/corosync.conf <==
nodelist {
  node {
    name: pve1
    ring0_addr: 10.20.0.1
    ring1_addr: pve2-ring
  }
}

==> /etc/pve/storage.cfg <==
nfs: shared
\tserver 10.30.0.9
\texport /x
rbd: ceph
\tmonhost 10.30.0.7 10.30.0.8:6789

==> /etc/pve/ceph.conf <==
[global]
\t cluster_network = 10.20.0.1/24

==> /etc/pve/datacenter.cfg <==
keyboard: de
migration: secure,network=10.30.0.0/24

==> /etc/hosts <==
127.0.0.1 localhost
198.51.100.7 pve2-ring # the second ring
""")


def _roles(*measured: str) -> dict[str, set[str]]:
    stack = Stack(HYPERVISOR)
    found: dict[str, set[str]] = {}
    for role in resolved(stack, began(stack, BY, PVE, SSH), ours=measured):
        found.setdefault(role.device, set()).add(role.role)
    return found


def test_roles_go_down_the_whole_stack() -> None:
    """vmbr0.10 over vmbr0 over bond0 over two ports: SSH rides on all five, and guests on the bridge's ports."""
    found = _roles()

    assert found["vmbr0.10"] == {"ssh", "default-route"}
    for device in ("vmbr0", "bond0", "enp1s0", "enp2s0"):
        assert found[device] == {"ssh", "default-route", "guests"}, device


def test_what_proxmoxs_files_name_is_found() -> None:
    """Rings by address and by name in /etc/hosts, storage by its servers, Ceph and migration by their networks."""
    found = _roles()

    assert found["storage0"] == {"storage", "migration"}
    assert found["enp3s0"] == {"corosync", "storage", "migration"}
    assert found["enp4s0"] == {"corosync"}
    assert "lo" not in found


def test_guests_that_are_measured_are_no_strangers() -> None:
    """A bridge whose only guest is ours is free; beside another one it is not."""
    assert "vmbr1" not in _roles("vmbr1", "tap200i0")
    assert _roles("vmbr1", "enp5s0")["enp5s0"] == {"guests"}
    assert "guests" in _roles("vmbr0", "tap100i0")["vmbr0"]


def test_the_reason_names_who_rides() -> None:
    """It is what an error shows."""
    stack = Stack(HYPERVISOR)
    why = [each.why for each in resolved(stack, began(stack, BY, {}, SSH)) if each.device == "enp1s0"]

    assert "vmbr0.10 has 192.0.2.10, the address that our SSH connection came to, and rides on enp1s0" in why
    assert "tap100i0 (tun) belongs to a guest or container, and rides on enp1s0" in why


def test_an_ssh_connection_by_a_socket_of_both_families_is_found() -> None:
    """An sshd that listens on [::] says ::ffff:192.0.2.10; link-local addresses have a scope."""
    stack = Stack(HYPERVISOR)
    mapped = began(stack, BY, {}, ("::ffff:192.0.2.50", "1", "::ffff:192.0.2.10", "22"))
    scoped = began(stack, BY, {}, ("2001:db8::9", "1", "2001:db8::10%vmbr0.10", "22"))

    assert {role.device for role in mapped if role.role == "ssh"} == {"vmbr0.10"}
    assert {role.device for role in scoped if role.role == "ssh"} == {"vmbr0.10"}


def test_links_are_read_as_iproute2_tells_them() -> None:
    """A veth's `link` is its peer, a VLAN's the device below it, a vxlan's stands in its data."""
    found = links(
        [
            {"ifname": "eth0", "link": "eth1", "linkinfo": {"info_kind": "veth"},
             "addr_info": [{"local": "10.0.0.1", "prefixlen": 24}]},
            {"ifname": "eth0.5", "link": "eth0", "linkinfo": {"info_kind": "vlan"}, "master": "br0"},
            {"ifname": "vx0", "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 1, "link": "eth0"}}},
        ]
    )  # fmt: skip

    assert found == (
        Link("eth0", "veth", addresses=("10.0.0.1/24",)),
        Link("eth0.5", "vlan", "br0", ("eth0",)),
        Link("vx0", "vxlan", "", ("eth0",)),
    )


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", "no JSON"])
def test_an_answer_that_is_no_list_of_objects_is_refused(text: str) -> None:
    """An old iproute2, or something else of that name."""
    with pytest.raises(ValueError, match=r"list|Expecting"):
        rows(text)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Link, ...]:
    """A stack without loops: each device lies on, or is a port's master of, earlier ones only."""
    kinds = ("", "vlan", "bridge", "bond", "macvlan")
    made: list[Link] = []
    for index in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(kinds)) if made else ""
        below: tuple[str, ...] = ()
        if kind in {"vlan", "macvlan"}:
            below = (draw(st.sampled_from(made)).name,)
        if kind in {"bridge", "bond"}:
            ports = draw(st.sets(st.sampled_from([each.name for each in made if not each.master] or ["-"])))
            made = [Link(e.name, e.kind, f"d{index}", e.below) if e.name in ports else e for e in made]
        made.append(Link(f"d{index}", kind, below=below))
    return tuple(draw(st.permutations(made)))


@given(stacks(), st.data())
def test_above_and_below_are_each_others_reverse(made: Sequence[Link], data: st.DataObject) -> None:
    """And nothing lies on itself."""
    stack = Stack(made)
    one, other = (data.draw(st.sampled_from(made)).name for _ in range(2))

    assert (other in stack.above(one)) is (one in stack.below(other))
    assert one not in stack.above(one)


@given(stacks(), st.data())
def test_a_role_is_on_its_device_and_on_all_below_it_and_nowhere_else(
    made: Sequence[Link], data: st.DataObject
) -> None:
    """Whatever the stack: what carries it has it."""
    stack = Stack(made)
    device = data.draw(st.sampled_from(made)).name
    word: Word = "ssh"
    found = {role.device for role in resolved(stack, [Role(device, word, "why")])}

    assert {device, *stack.below(device)} == found


@pytest.mark.parametrize("inner", ['exec sh -c "$1"', 'exec env -i PATH="$PATH" sh -c "$1"'], ids=["sshd", "sudo"])
def test_our_connection_is_found_also_where_sudo_took_it_out_of_the_environment(inner: str) -> None:
    """The processes above still have it; ours is asked first."""
    argv = ("env", "SSH_CONNECTION=192.0.2.50 51000 192.0.2.10 22", "sh", "-c", f"({inner}); :", "sh")
    outcome = Local().run(Command((*argv, CONNECTION.argv[2])))

    assert outcome.stdout.split() == list(SSH)


@pytest.mark.parametrize(("data", "asked"), [('{"id": 5}', 1), ('{"id": 5, "link": "eth9"}', 0)])
def test_what_a_vxlan_lies_on_is_asked_where_it_has_no_device(data: str, asked: int) -> None:
    """By the remotes of its forwarding table and the route to them; who has a device says so itself."""
    links_ = f"""[{{"ifname": "vx5", "linkinfo": {{"info_kind": "vxlan", "info_data": {data}}}}},
                  {{"ifname": "eth9", "addr_info": [{{"local": "192.0.2.1", "prefixlen": 24}}]}}]"""

    def answer(command: Command) -> tuple[int, str]:
        told = {
            QUESTIONS[0]: links_,
            QUESTIONS[1]: '[{"dst": "192.0.2.0/24", "dev": "eth9"}]',
            TUNNELLED: '[{"mac": "00:00:00:00:00:00", "ifname": "vx5", "dst": "192.0.2.2", "flags": ["self"]}]',
        }
        return 0, told.get(command, "")

    host = FakeHost(answer=answer)

    assert riding.asked(host).stack.below("vx5") == {"eth9"}
    assert host.asked.count(TUNNELLED) == asked
