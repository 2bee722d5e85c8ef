"""Options of a node's firewall on Proxmox VE, [OPTIONS] of its host.fw: settings that it writes itself, its backend.

The first have no word: `kept` gives their changes in place of a sysctl's, where the firewall is on.
"""

import re
from collections.abc import Sequence

from bench.facts.pve_firewall import BACKEND, HOST_FW, NFTABLES, OPTIONS, RANGES, UNSET, effective
from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.guests import BACKEND as BACKEND_WORD
from bench.labs.lab import Lab, Target
from tuning.knobs.knob import Change, NotSettable

_PREFIX = "host.fw/"
# $1 file, $2 option, $3 its value, or "unset". All other lines stay byte for byte; what the file lacked for it is
# marked, and goes with it. As PVE::Tools::file_set_contents does, the whole file is written beside it and renamed over
# it: nobody reads half of a firewall. Nothing is fsynced: pmxcfs has what it took in its database. Without quorum it
# takes nothing.
_SET = r"""
file=$1 option=$2 value=$3 new=$1.nettune made='# made by nettune: '
# A line without its end stays one.
same() { if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then head -c -1; else cat; fi; }
edited() {
  awk -v option="$option" -v value="$value" -v insert="$1" '
    /^\[/ { inside = tolower($0) ~ /^\[options\][ \t]*$/ }
    inside && index(tolower($0), option ":") == 1 {
      if (value == "unset") next
      match($0, /:[ \t]*/); head = substr($0, 1, RSTART + RLENGTH - 1); rest = substr($0, RSTART + RLENGTH)
      sub(/^[^ \t]*/, "", rest); print head value rest; next
    }
    { print }
    inside && insert && /^\[/ { print option ": " value; insert = 0 }' "$file" | same
}
there() { awk -v option="$1" '
  /^\[/ { inside = tolower($0) ~ /^\[options\][ \t]*$/; if (inside && option == "") found = 1 }
  inside && option != "" && index(tolower($0), option ":") == 1 { found = 1 }
  END { exit !found }' "$file"; }
rm -f "$new"
if [ "$value" = unset ]; then
  [ -e "$file" ] || exit 0
  edited "" >"$new" || exit
  case $(tail -n 2 "$new") in
  "${made}file
[OPTIONS]") rm -f "$new" "$file"; exit ;;
  "${made}section
[OPTIONS]") head -n -2 "$new" >"$new.2" && mv "$new.2" "$new" || exit ;;
  "${made}end of line, section
[OPTIONS]") head -n -2 "$new" | head -c -1 >"$new.2" && mv "$new.2" "$new" || exit ;;
  esac
elif [ ! -e "$file" ]; then
  printf '%sfile\n[OPTIONS]\n%s: %s\n' "$made" "$option" "$value" >"$new" || exit
elif there "$option"; then
  edited "" >"$new" || exit
elif there ""; then
  edited 1 >"$new" || exit
else
  cat "$file" >"$new" || exit
  [ -z "$(tail -c 1 "$new")" ] || { printf '\n' >>"$new"; made="${made}end of line, "; }
  printf '%ssection\n[OPTIONS]\n%s: %s\n' "$made" "$option" "$value" >>"$new" || exit
fi
mv "$new" "$file"
"""


class HostFirewall:
    """`nf_conntrack_max: N` in [OPTIONS] of host.fw."""

    kind = "host.fw"
    target: Target = "node"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key.removeprefix(_PREFIX) in OPTIONS.values() and key.startswith(_PREFIX)

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return ()

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        del setting
        return False

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        del setting, value
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes; `kept` makes them."""
        del setting, value, lab, target, now
        return ()

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(_written(change) for change in changes)

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        del setting
        return self.owns(difference.key)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"pvesh set /nodes/NODE/firewall/options --{setting} {value}"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "the firewall takes it within ten seconds, and keeps it over boots"


_BACKENDS = {"on": ("1", "nftables"), "off": ("0", "iptables")}
_WAITED_TENTHS = 300  # it looks at its files every five seconds
# $1 the backend, $2 tenths of a second that are waited for it.
_TAKEN_OVER = f"""\
backend() {{ {BACKEND.argv[2]}
}}
tries=0
until [ "$(backend | head -n 1)" = "$1" ] || [ "$tries" -ge "$2" ]; do sleep 0.1; tries=$((tries + 1)); done
"""
# Guests that run with a firewall of their own and were not made by nettune.
_FOREIGN = """\
for conf in /etc/pve/local/qemu-server/*.conf /etc/pve/local/lxc/*.conf; do
  id=${conf##*/} id=${id%.conf}
  case $conf in
  */lxc/*) what=container; [ -d "/sys/fs/cgroup/lxc/$id" ] || continue ;;
  *) what=VM; kill -0 "$(cat "/run/qemu-server/$id.pid" 2>/dev/null || echo none)" 2>/dev/null || continue ;;
  esac
  grep -q '^#made by nettune, lease ' "$conf" && continue
  ! sed '/^\\[/,$d' "$conf" | grep -Eq '^net[0-9]+:.*firewall=1' || echo "$what $id"
done
true
"""


class Backend:
    """`pve-nftables: on`: proxmox-firewall filters in place of pve-firewall, on the node of the lab's VMs."""

    kind = BACKEND_WORD
    target: Target = "node"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key in {f"{_PREFIX}{NFTABLES}", f"{_PREFIX}backend"}

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return (self.kind,)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == self.kind

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        return "" if value in _BACKENDS else f"{setting} takes on or off, not {value!r}"

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. Refused where nobody would filter, and where others' guests are filtered there."""
        hosts = [host for host in lab.hosts_of(target) if f"{_PREFIX}backend" in now[host.name].facts]
        if not hosts:
            raise NotSettable(f"not settable here: on the target {target!r} is no node of Proxmox VE that is reached "
                              "by SSH (`nodes:` in the cluster's file)")  # fmt: skip
        if lab.restarting is None:
            raise NotSettable(f"not settable here: a guest takes {setting} at its start, and these are no VMs")
        found: list[Change] = []
        for host in hosts:
            facts = now[host.name].facts
            if facts[f"{_PREFIX}enable"] != "1":
                raise NotSettable("not settable here: the cluster's firewall is off, so neither backend does anything")
            if value == "on" and facts[f"{_PREFIX}proxmox-firewall"] != "active":
                raise NotSettable(f"not settable here: proxmox-firewall does not run on {host.name} (Proxmox VE 8.2 "
                                  "and later), and nobody would filter")  # fmt: skip
            foreign = host.run(Command(("sh", "-c", _FOREIGN))).require().stdout.split("\n")[:-1]
            if foreign and facts[f"{_PREFIX}backend"] != _BACKENDS[value][1]:
                raise NotSettable(f"not settable here: another program would filter guests of others on {host.name} "
                                  f"meanwhile: {', '.join(foreign)}")  # fmt: skip
            option, backend = _BACKENDS[value]
            found += [
                Change(host.name, f"{_PREFIX}{NFTABLES}", option),
                Change(host.name, f"{_PREFIX}backend", backend),
            ]
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. The option first, whatever the order; then it is waited for."""
        options = [each for each in changes if each.key.endswith(NFTABLES)]
        return (*map(_written, options), *(
            Command(("sh", "-c", _TAKEN_OVER, "sh", each.wanted, str(_WAITED_TENTHS)), deadline_s=60.0)
            for each in changes if each not in options
        ))  # fmt: skip

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds. None is off."""
        return {UNSET: "0"}.get(wanted, wanted) == {UNSET: "0"}.get(actual or "", actual)

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains: rules, what either program sets, and the bridges of a VM's firewall."""
        del setting
        return self.owns(difference.key) or re.match(_MOVES, difference.key) is not None

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        del setting
        return f"pvesh set /nodes/NODE/firewall/options --nftables {_BACKENDS[value][0]}"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "a technology preview; every VM must be stopped and started, and REJECT becomes DROP for guests"


_MOVES = (
    r"nft/|sysctl/net\.(bridge|netfilter)\.|sysctl/net\.ipv4\.tcp_syncookies"
    r"|link/(tap|fw)[^/]+/(master|promiscuity|flags|qdisc)|qdisc/(tap|fw)|fdb/"
    r"|sysctl/net\.ipv[46]\.(conf|neigh)\.(tap|fw)"
)


def _written(change: Change) -> Command:
    words = ("sh", "-c", _SET, "sh", HOST_FW, change.key.removeprefix(_PREFIX), change.wanted)
    return Command(words, deadline_s=60.0)


def kept(changes: Sequence[Change], now: Sheets) -> tuple[Change, ...]:
    """The changes of sysctls that the firewall writes, by its option first, and by the value that it makes of it.

    () where it does not keep them: the firewall is off, or that is no node. Raises NotSettable for what it refuses.
    """
    found: list[Change] = []
    for change in changes:
        option = OPTIONS.get(change.key.removeprefix("sysctl/"))
        facts = now[change.host].facts
        if option is None or facts.get(f"{_PREFIX}enable") != "1":
            return ()
        least, most = RANGES[option]
        if not change.wanted.isdecimal() or not least <= int(change.wanted) <= most:
            raise NotSettable(
                f"not settable here: Proxmox VE's firewall, which keeps it, takes {least} to {most} for {option}, not "
                f"{change.wanted}"
            )
        found.append(Change(change.host, _PREFIX + option, change.wanted))
        found.append(Change(change.host, change.key, effective(option, change.wanted)))
    return tuple(found)


assert UNSET in _SET  # noqa: S101 - the script knows the word
