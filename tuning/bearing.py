"""What a setting bears on: whose traffic, how far, what it disturbs, how it is kept; and what lowers a maximum.

Small tables by kind and by name, asked by profiles alone. What they do not know reads "".
"""

import re
from typing import Literal, get_args

from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for

Acts = Literal["own-sockets", "all-traffic"]
Scope = Literal["host", "namespace", "device", "vm"]
Disruption = Literal["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"]
SCOPES: tuple[str, ...] = get_args(Scope)
# none; new sockets only; loss below a second; queues or adapter reset; connectivity at risk; a VM's NIC or the VM is
# started anew; a module is loaded anew; reboot
DISRUPTIONS: tuple[str, ...] = get_args(Disruption)
NO_EFFECT = (
    "it acts on sockets that end on the machine itself; the TCP of what it bridges or routes is the guests' own: "
    "set it there"
)

# Limits that kernel or applications may use up: raising one may help, lowering it never does.
_MAXIMA = re.compile(
    r"net\.core\.(rmem_max|wmem_max|rmem_default|wmem_default|optmem_max|somaxconn|netdev_max_backlog|netdev_budget"
    r"|netdev_budget_usecs|rps_sock_flow_entries)"
    r"|net\.ipv4\.(tcp_max_syn_backlog|tcp_max_tw_buckets|tcp_max_orphans)"
    r"|net\.ipv[46]\.neigh\.default\.gc_thresh[123]|net\.netfilter\.nf_conntrack_(max|buckets|expect_max)"
)
_TRIPLES = frozenset({"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"})  # least, default, most
_SIZES = frozenset({"rx-ring", "tx-ring", "txqueuelen", "vm-rx-queue-size", "gso_max_size", "gro_max_size",
                    "gso_ipv4_max_size", "gro_ipv4_max_size"})  # fmt: skip
# net.core that belongs to a namespace, and net.ipv4 that does not (net/core/sysctl_net_core.c, sysctl_net_ipv4.c).
_CORE_OWN = re.compile(r"net\.core\.(somaxconn|optmem_max|txrehash|rps_default_mask|tstamp_allow_data)")
_MACHINES = re.compile(
    r"net\.core\.|net\.ipv4\.(tcp_mem|udp_mem|tcp_max_orphans)$|net\.ipv[46]\.neigh\.default\.gc_thresh[123]$"
    r"|net\.netfilter\.nf_conntrack_(max|buckets|expect_max)$"
)
_OF_SOCKETS = re.compile(
    r"net\.ipv4\.(tcp_(?!early_demux)|udp_(?!early_demux)|ip_local_port_range)"
    r"|net\.core\.([rw]mem_|optmem_max|somaxconn|busy_|rps_sock_flow_entries)"
)
_NEW_SOCKETS = re.compile(
    r"net\.core\.([rw]mem_|optmem_max|somaxconn|busy_read)|net\.ipv4\.(ip_local_port_range|tcp_([rw]mem|congestion_control"
    r"|mtu_probing|no_metrics_save|fastopen|max_syn_backlog|ecn|base_mss))"
)
_DISRUPTION: dict[str, Disruption] = {
    "mtu": "d4",
    "channels": "d3",
    "rx-ring": "d3",
    "tx-ring": "d3",
    "qdisc": "d2",
    "gro": "d0",
    "gso": "d0",
    "rx-gro": "d0",
    "tx-generic-segmentation": "d0",
    "rx-gro-list": "d0",
    "rx-udp-gro-forwarding": "d0",
}


def acts_on(setting: str) -> Acts:
    """Whose traffic feels it: sockets that end on the machine, or all that passes it."""
    return "own-sockets" if _OF_SOCKETS.match(sysctl_key(setting)) else "all-traffic"


def scope(setting: str) -> str:
    """How far it reaches: one of SCOPES; "" for what is no setting."""
    knob = knob_for(setting)
    if knob is None:
        return ""
    if knob.kind == "sysctl":
        key = sysctl_key(setting)
        return "host" if _MACHINES.match(key) and not _CORE_OWN.fullmatch(key) else "namespace"
    return "vm" if setting.startswith("vm-") else "device"


def disruption(setting: str) -> str:
    """What setting it costs those who use the path meanwhile: one of DISRUPTIONS; "" for what is no setting.

    Of offloads and rings the driver decides; without knowing it, a reset of the adapter is what to expect.
    """
    knob = knob_for(setting)
    if knob is None:
        return ""
    if knob.kind == "sysctl":
        if sysctl_key(setting) == "net.netfilter.nf_conntrack_buckets":
            return "d2"
        return "d1" if _NEW_SOCKETS.match(sysctl_key(setting)) else "d0"
    if setting.startswith("vm-"):
        return "d5"
    return _DISRUPTION.get(setting, "d3" if knob.kind == "feature" else "d0")


def persist(setting: str, value: str) -> str:
    """How an operator keeps it over a reboot, in one line; "" for what is no setting."""
    knob = knob_for(setting)
    if knob is None:
        return ""
    if knob.kind == "sysctl":
        return f"/etc/sysctl.d/90-nettune.conf: {sysctl_key(setting)} = {value}"
    if setting.startswith("vm-"):
        return "the VM's own configuration keeps it"
    if setting == "mtu":
        return f"/etc/network/interfaces: mtu {value}"
    return f"/etc/network/interfaces: post-up {knob.command(setting, value)}"


def is_maximum(setting: str) -> bool:
    """True where only raising it can help."""
    key = sysctl_key(setting)
    return key in _TRIPLES or setting in _SIZES or _MAXIMA.fullmatch(key) is not None


def lowers(setting: str, value: str, now: str) -> bool:
    """True where `value` of a maximum is below what stands there now: newer kernels ship larger buffers.

    Of three numbers (tcp_rmem) the last counts; where that is the same, the default does.
    """
    if not is_maximum(setting):
        return False
    wanted, there = value.split(), now.split()
    if not all(word.isdecimal() for word in (*wanted, *there)) or len(wanted) != len(there) or not wanted:
        return False
    return [int(word) for word in reversed(wanted)][:2] < [int(word) for word in reversed(there)][:2]
