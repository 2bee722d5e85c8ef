"""Virtual NICs of VMs that stand on a node of Proxmox VE, as `qm pending` tells them; and how one is set. Pure.

    vnic/101/net0/queues         "4", or "unset": as it is, or will be with the VM's next start

`qm set` replaces all of netN, so what is set is parsed, changed and printed on the node itself, at the moment of the
write: what its owner changed meanwhile stays. Format: PVE/GuestHelpers.pm, format_pending ("cur", "new", "del").
"""

import re
from collections.abc import Mapping, Sequence

from bench.hosts.command import Command, Outcome
from bench.pve import vnic
from bench.pve.vnic import MODELS, WORDS, NotAVnic

PREFIX = "vnic/"
KEY = re.compile(r"vnic/([1-9][0-9]{2,8})/(net[0-9]{1,2})/([a-z]+)")
_LINE = re.compile(r"(cur|new|del) (net\d+): (.*)")
# $1 the VM, $2 netN, then options with their values ("unset": without it). As bench.pve.vnic does it.
_SET = r"""
vmid=$1 net=$2
shift 2
was=$(qm config "$vmid" | sed -n "s/^$net: //p")
[ -n "$was" ] || { echo "VM $vmid has no $net here" >&2; exit 1; }
now=$was
while [ "$#" -gt 0 ]; do
  now=$(printf '%s\n' "$now" | awk -v option="$1" -v value="$2" -v models=" @models@ " '{
    count = split($0, words, ","); text = ""; set = 0
    for (at = 1; at <= count; at++) {
      word = words[at]; equals = index(word, "="); key = equals ? substr(word, 1, equals - 1) : word
      name = (!equals || index(models, " " key " ")) ? "model" : key
      if (name == option) {
        set = 1
        if (option != "model") { if (value == "unset") continue; word = key "=" value }
        else word = (key == "model") ? "model=" value : value (equals ? substr(word, equals) : "")
      }
      text = text (text == "" ? "" : ",") word
    }
    if (!set && value != "unset") text = text "," option "=" value
    print text
  }') || exit
  shift 2
done
[ "$now" = "$was" ] || qm set "$vmid" "--$net" "$now"
""".replace("@models@", " ".join(MODELS))


def question(vmid: str) -> Command:
    """What the node is asked of a VM; it takes a second on a busy one (perl)."""
    return Command(("qm", "pending", vmid), deadline_s=60.0)


def parse(outcome: Outcome) -> dict[str, str]:
    """The facts; none of a VM that is not on that node, nor of a netN that nobody can read."""
    vmid = outcome.command.argv[-1]
    facts: dict[str, str] = {}
    for net, text in _configured(outcome).items():
        try:
            of = vnic.parse(text)
        except NotAVnic:
            continue
        facts |= {f"{PREFIX}{vmid}/{net}/{name}": of.option(name) for name in WORDS.values()}
    return facts


def waiting(outcome: Outcome) -> tuple[str, ...]:
    """Each netN that is another only with the VM's next start."""
    return tuple(
        match[2] for line in outcome.stdout.splitlines() if (match := _LINE.fullmatch(line)) and match[1] == "new"
    )


def set_(key: str, wanted: Mapping[str, str]) -> Command:
    """Options, by their names in qm.conf(5), of the NIC that a fact is of. Raises ValueError for another fact."""
    match = KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key} is no virtual NIC's")
    pairs = [word for pair in wanted.items() for word in pair]
    return Command(("sh", "-c", _SET, "sh", match[1], match[2], *pairs), deadline_s=120.0)


def of_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The ids of the VMs that facts are of."""
    return tuple(dict.fromkeys(match[1] for key in keys if (match := KEY.fullmatch(key))))


def _configured(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in outcome.stdout.splitlines() if outcome.ok else ():
        if match := _LINE.fullmatch(line):
            found[match[2]] = match[3]  # "new" comes after "cur"
            if match[1] == "del":
                del found[match[2]]
    return found
