"""Sysctls below net.*, written through /proc/sys. In a namespace only those that belong to it."""

import re
from collections.abc import Sequence

from bench.facts.sheet import Difference, Sheets
from bench.facts.state import sysctl_path
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable

CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"
# ip_forward and the forwarding switches rewrite conf.* of every device (inet_forward_change, addrconf_forward_change).
_FORWARDING = re.compile(r"net\.ipv[46]\.(ip_forward|conf\.(all|default)\.forwarding)$")
_DRAGGED_BY_FORWARDING = re.compile(r"sysctl/net\.ipv[46]\.(conf\.|ip_forward)|feature/[^/]+/rx-lro$|route/anycast ")
# What turns a host into a router or back, by every name (ip_forward is class X of the catalogue), and what makes IPv6
# drop addresses and routes, at once or when their lifetime ends: addrconf_disable_ipv6, addrconf_fixup_forwarding,
# addrconf_sysctl_addr_gen_mode (net/ipv6/addrconf.c). Writing the old value does not bring back what somebody had set.
_NEVER = re.compile(
    r"net\.ipv4\.(ip_forward|conf\.[^.]+\.(mc_)?forwarding)"
    r"|net\.ipv6\.conf\.[^.]+\.((force_|mc_)?forwarding|disable_ipv6|addr_gen_mode|accept_ra\w*|autoconf|use_tempaddr)"
)
_ALL_OR_DEFAULT = re.compile(r"net\.ipv([46])\.conf\.(all|default)\.(\w+)$")
_COMMON = (
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", CONGESTION_CONTROL, "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_limit_output_bytes", "net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_sack",
    "net.ipv4.tcp_timestamps", "net.ipv4.tcp_window_scaling", "net.ipv4.tcp_ecn", "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_adv_win_scale", "net.ipv4.tcp_autocorking", "net.ipv4.tcp_moderate_rcvbuf",
    "net.ipv4.tcp_no_metrics_save", "net.ipv4.ip_forward", "net.ipv4.ip_local_port_range", "net.core.somaxconn",
    "net.core.rmem_max", "net.core.wmem_max", "net.core.netdev_budget", "net.core.netdev_max_backlog",
)  # fmt: skip


class Sysctl:
    """`net.ipv4.tcp_rmem: 4096 131072 6291456`; `congestion_control: reno` for short."""

    kind = "sysctl"
    target: Target = "guest"  # TCP lives at the endpoints; a node's bridge only forwards

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key.startswith("sysctl/")

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return ("congestion_control", *_COMMON)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == "congestion_control" or re.fullmatch(r"net(\.[A-Za-z0-9_/-]+)+", setting) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        if not value.strip() or not value.replace("\t", " ").isprintable() or len(value) > 1000:
            return f"{setting} needs a value on one line"
        key = sysctl_key(setting)
        if key in {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}:
            words = value.split()
            if len(words) != 3 or not all(re.fullmatch(r"[0-9]{1,10}", word) for word in words):
                return f"{setting} takes three numbers of bytes (least, default, most), not {value!r}"
            least, default, most = (int(word) for word in words)
            if not 0 < least <= default <= most < 1 << 31:
                return f"{setting} {value!r}: least ≤ default ≤ most < 2 GiB must hold"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refuses what is absent or read-only there: it is the machine's, not the namespace's.

        On a machine that we did not make, also what moves IPv6's addresses and routes.
        """
        key = sysctl_key(setting)
        if lab.guard_s and key.startswith("net.ipv6.") and cuts_off(key):
            raise NotSettable(
                f"not settable here: {key} moves addresses and routes, which nobody could put back for sure on a "
                "machine that stands"
            )
        found = []
        for host in lab.hosts_of(target):
            facts = now[host.name].facts
            if f"sysctl/{key}" not in facts or not host.run(Command(("test", "-w", sysctl_path(key)))).ok:
                raise NotSettable(
                    f"not settable here: {key} is not {host.name}'s own (it belongs to the whole machine, or this "
                    "kernel lacks it)"
                )
            allowed = facts.get("sysctl/net.ipv4.tcp_allowed_congestion_control", "").split()
            if key == CONGESTION_CONTROL and value not in allowed:
                raise NotSettable(
                    f"not settable here: {value} is not in tcp_allowed_congestion_control ({' '.join(allowed)}), and "
                    "a namespace may choose among those only"
                )
            found.append(Change(host.name, f"sysctl/{key}", " ".join(value.split())))
        if not found:
            raise NotSettable(f"not settable here: this topology has no host on the target {target!r}")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(
            Command(("tee", sysctl_path(change.key.removeprefix("sysctl/"))), stdin=change.wanted) for change in changes
        )

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return actual is not None and wanted.split() == actual.split()

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        key = sysctl_key(setting)
        if difference.key == f"sysctl/{key}":
            return True
        if _FORWARDING.match(key):
            return bool(_DRAGGED_BY_FORWARDING.match(difference.key))
        found = _ALL_OR_DEFAULT.match(key)
        # conf.all.X is written through to every device for some X (devinet.c, addrconf.c).
        return bool(
            found and re.match(rf"sysctl/net\.ipv{found[1]}\.conf\.[^.]+\.{re.escape(found[3])}$", difference.key)
        )

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f'sysctl -w {sysctl_key(setting)}="{value}"'

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        if _FORWARDING.match(sysctl_key(setting)):
            return "turns the host into a router or back, and rewrites conf.* of every device"
        return "new sockets only; running connections keep what they have"


def cuts_off(setting: str) -> bool:
    """Whether it moves addresses, routes or forwarding, so that a machine that others use never gets it."""
    return _NEVER.fullmatch(setting) is not None


def sysctl_key(setting: str) -> str:
    """The sysctl behind a setting's word."""
    return CONGESTION_CONTROL if setting == "congestion_control" else setting
