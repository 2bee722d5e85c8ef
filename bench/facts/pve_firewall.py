"""What Proxmox VE's firewall keeps of a node's connection tracking: the options of host.fw, and whether it is on. Pure.

Facts of a node, none where it is no node of Proxmox VE:

    host.fw/enable               "1" where the cluster's firewall is on: it writes these sysctls itself
    host.fw/nf_conntrack_max     "1048576", or "unset"
    host.fw/nftables             "1", "0" or "unset": which of two programs is to filter
    host.fw/backend              "nftables" where proxmox-firewall has its tables in the kernel, else "iptables"
    host.fw/proxmox-firewall     "active", or "absent" where that program does not run (before Proxmox VE 8.2)

While it is on pve-firewall writes the sysctls behind its options every ten seconds (pve-firewall, PVE/Firewall.pm:
update_nf_conntrack_max and its like); proxmox-firewall, the one of nftables, reads the same options.
"""

import re
from collections.abc import Mapping

from bench.facts import tailed
from bench.hosts.command import Command

HOST_FW = "/etc/pve/local/host.fw"  # of the node itself: /etc/pve/local is a link to /etc/pve/nodes/NODE
CLUSTER_FW = "/etc/pve/firewall/cluster.fw"
UNSET = "unset"
QUESTION = Command(("tail", "-v", "-n", "+1", CLUSTER_FW, HOST_FW))  # those that are not there are left out
NFTABLES = "nftables"
# Its table is there once it has taken over, and no longer once it has let go (proxmox-firewall's documentation).
BACKEND = Command(
    (
        "sh",
        "-c",
        """\
if nft list table inet proxmox-firewall >/dev/null 2>&1; then echo nftables; else echo iptables; fi
if systemctl -q is-active proxmox-firewall 2>/dev/null; then echo active; else echo absent; fi""",
    )
)
IS_NODE = Command(("sh", "-c", "command -v pveversion >/dev/null && test -d /etc/pve/local"))
# Sysctl -> its option in [OPTIONS] of host.fw.
OPTIONS: Mapping[str, str] = {
    f"net.netfilter.{name}": name
    for name in ("nf_conntrack_max", "nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_syn_recv")
}
RANGES: Mapping[str, tuple[int, int]] = {  # of the API's schema: GET /nodes/N/firewall/options
    "nf_conntrack_max": (32768, 2**31 - 1),
    "nf_conntrack_tcp_timeout_established": (7875, 2**31 - 1),
    "nf_conntrack_tcp_timeout_syn_recv": (30, 60),
}
_LEAST_MAX, _STEP = 262144, 8192  # update_nf_conntrack_max: it goes below the first never, and rounds up to the second


def effective(option: str, value: str) -> str:
    """What the firewall makes of an option's value in the sysctl behind it."""
    if option != "nf_conntrack_max":
        return value
    number = max(int(value), _LEAST_MAX)
    return str((number + _STEP - 1) // _STEP * _STEP)


def parse(text: str) -> dict[str, str]:
    """The facts, of what QUESTION printed."""
    files = tailed.files(text)
    on = options(files.get(CLUSTER_FW, "")).get("enable", "0")
    there = options(files.get(HOST_FW, ""))
    return {
        "host.fw/enable": on,
        **{f"host.fw/{name}": there.get(name, UNSET) for name in (*OPTIONS.values(), NFTABLES)},
    }


def parse_backend(text: str) -> dict[str, str]:
    """The facts, of what BACKEND printed."""
    backend, service = text.split()
    return {"host.fw/backend": backend, "host.fw/proxmox-firewall": service}


def options(text: str) -> dict[str, str]:
    """The options of a firewall's file, by name; of one that stands twice the last counts."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip().lower()
        elif section == "[options]" and (given := re.fullmatch(r"([a-z0-9_]+):\s*(\S+)\s*", line, re.IGNORECASE)):
            found[given[1].lower()] = given[2]
    return found
