"""What stands upon a NIC for an exchange: a VLAN device or a tunnel, in a network namespace that ends with it.

The addresses within are in nobody's way (198.18.0.0/15 and 2001:2::/48, RFC 2544 and 5180, behind no route of the
host), and a killed exchange leaves nothing: a network namespace without processes takes its devices along.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

# Of the client and of the server, by family.
ADDRESSES = {4: ("198.18.0.1", "198.18.0.2"), 6: ("2001:2::1", "2001:2::2")}
_PREFIXES = {4: 30, 6: 126}
# A number that nobody else has; IANA's port, which NICs look for unless told otherwise.
_VXLAN = "type vxlan id 16000111 local {here} remote {there} dstport 4789"
_GENEVE = "type geneve id 16000111 remote {there} dstport 6081"
_VLAN = "4001"

# $1 the module that it takes, $2 "load" where that may be loaded, $3 the addresses, $4 the program, $5 its role, $6
# the words of a device upon the device, "" for none, $7 whether the device is made in its namespace or moved there
# (kernels before 6.14 look for the ends of a GRE or IPIP tunnel where it was made); the rest are ip-link's words.
# Descriptor 3 is the namespace of the NIC.
SCRIPT = """\
if [ ! -e "/sys/module/$1" ] && [ "$2" != load ] && modprobe --show-depends "$1" 2>/dev/null | grep -q ^insmod; then
  echo "the kernel's module $1 is not loaded, and loading it would change the machine: modprobe $1" >&2
  exit 77
fi
shift 2
exec 3</proc/self/ns/net
exec unshare --net sh -c '
addresses=$1 text=$2 role=$3 above=$4 way=$5 name=ntup$$ left=60
shift 5
outside() { nsenter --net=/proc/self/fd/3 ip link "$@" 2>&1; }
made() { outside add name "$name" netns $$ "$@"; }
moved() { outside add name "$name" "$@" && { outside set "$name" netns $$ || { outside del "$name"; false; }; }; }
until said=$("$way" "$@"); do
  case $said in *exists*) left=$((left - 1)) ;; *) left=0 ;; esac  # of an exchange that has just ended
  [ $left -gt 0 ] || { echo "$said" >&2; exit 78; }
  sleep 0.05
done
ip link set lo up && ip link set "$name" up || exit 78
[ -z "$above" ] || { ip link add link "$name" name ntabove $above && name=ntabove; } || exit 78
for each in $addresses; do
  case $each in *:*) nodad=nodad ;; *) nodad="" ;; esac
  ip address add "$each" dev "$name" $nodad || exit 78
done
ip link set "$name" up || exit 78
exec python3 -IS -c "$text" "$role"
' sh "$@"
"""


@dataclass(frozen=True, slots=True)
class Over:
    """One kind: its name, the module that it is in, and ip-link's words, with {device}, {here} and {there}."""

    name: str
    module: str
    link: str
    made: bool = False  # where it is used; else moved there
    above: str = ""  # ip-link's words of a device upon that one, with {less}: four bytes less than the NIC's MTU
    around: int = 4  # the family of the ends; 0: any
    within: tuple[int, ...] = (4, 6)  # families that it can carry

    def argv(
        self, role: str, program: str, ends: tuple[str, str, str], *, mtu: int, families: Collection[int], load: bool
    ) -> tuple[str, ...]:
        """The command of one end; `ends` are its device, its address and that of the other; `families` those within."""
        device, here, there = ends
        number = 0 if role == "drive" else 1
        addresses = " ".join(f"{ADDRESSES[each][number]}/{_PREFIXES[each]}" for each in families)
        return (
            *("sh", "-c", SCRIPT, "over", self.module, "load" if load else "", addresses, program, role),
            *(self.above.format(less=mtu - 4), "made" if self.made else "moved"),
            *self.link.format(device=device, here=here, there=there).split(),
        )


OVERS: Mapping[str, Over] = {
    each.name: each
    for each in (
        Over("vlan", "8021q", f"link {{device}} type vlan id {_VLAN}", made=True, around=0),
        # The second tag takes four bytes of the payload, not four that a switch between may not let pass.
        Over("qinq", "8021q", f"link {{device}} type vlan proto 802.1ad id {_VLAN}", made=True,
             above="mtu {less} type vlan id 4002", around=0),
        Over("vxlan", "vxlan", f"{_VXLAN} noudpcsum", made=True),
        Over("vxlan csum", "vxlan", f"{_VXLAN} udpcsum", made=True),
        Over("vxlan6", "vxlan", _VXLAN, made=True, around=6),
        Over("geneve", "geneve", f"{_GENEVE} noudpcsum", made=True),
        Over("geneve csum", "geneve", f"{_GENEVE} udpcsum", made=True),
        Over("gre", "ip_gre", "type gre local {here} remote {there}"),
        Over("gre csum", "ip_gre", "type gre local {here} remote {there} csum"),
        Over("gre6", "ip6_gre", "type ip6gre local {here} remote {there} encaplimit none", around=6),
        Over("ipip", "ipip", "type ipip local {here} remote {there}", within=(4,)),
        Over("ipip6", "ip6_tunnel", "type ip6tnl local {here} remote {there} mode any encaplimit none", around=6),
    )
}  # fmt: skip
