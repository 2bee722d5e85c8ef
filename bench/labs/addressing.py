"""The addresses of a lab, planned from a prefix of each family: subnets that do not overlap, endpoints, gateways.

The prefixes are those that are reserved for benchmarks and routed nowhere: RFC 2544 and RFC 5180 (erratum 1752).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

PREFIX_4, PREFIX_6 = "198.18.0.0/15", "2001:2::/48"
_SUBNET_BITS = {4: 24, 6: 64}  # no subnet is larger
_GATEWAY = 254  # the gateway's place in a subnet; the last usable one where there are fewer
HOSTS = {4: 2, 6: 1}  # addresses of a subnet that no host can have: IPv4's first and last, IPv6's first


class NoRoom(ValueError):  # noqa: N818 - the domain's word, as in the rest of the house
    """A prefix cannot hold the subnets that are asked of it."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet of each family, and what addresses its members have."""

    nets: tuple[Network, Network]

    def address(self, place: int, family: int) -> str:
        """The address of the `place`th member (from 1), bare."""
        return str(self._net(family)[place])

    def gateway(self, family: int) -> str:
        """The gateway's address, bare."""
        net = self._net(family)
        return str(net[min(_GATEWAY, net.num_addresses - (2 if family == 4 else 1))])

    def length(self, family: int) -> int:
        """Bits of the prefix."""
        return self._net(family).prefixlen

    def text(self, family: int) -> str:
        """`198.18.0.0/24`."""
        return str(self._net(family))

    def _net(self, family: int) -> Network:
        return self.nets[0 if family == 4 else 1]


def planned(
    names: Sequence[str], members: int, prefixes: Sequence[str], fixed: Mapping[tuple[str, int], Network]
) -> dict[str, Subnet]:
    """A subnet of both families for each name, `members` hosts and a gateway in each; `fixed` (name, family) stands.

    A prefix is halved until there are as many parts as names, and the first subnet of each part is taken: 198.18.0.0/24
    and 198.19.0.0/24 of 198.18.0.0/15. Raises NoRoom when a prefix is too small, or where subnets overlap.
    """
    by_family: dict[int, dict[str, Network]] = {}
    for family, prefix in zip((4, 6), prefixes, strict=True):
        given = {name: fixed[name, family] for name in names if (name, family) in fixed}
        free = [name for name in names if name not in given]
        by_family[family] = {**given, **dict(zip(free, _parts(ip_network(prefix), len(free), family), strict=True))}
        for name, net in by_family[family].items():
            if net.num_addresses - HOSTS[family] < members + 1:
                raise NoRoom(f"subnet {net} of {name} is too small for {members} endpoints and a gateway")
        for (one, first), (other, second) in itertools.combinations(by_family[family].items(), 2):
            if first.overlaps(second):
                raise NoRoom(f"subnets {first} of {one} and {second} of {other} overlap")
    return {name: Subnet((by_family[4][name], by_family[6][name])) for name in names}


def _parts(prefix: Network, count: int, family: int) -> list[Network]:
    """The first subnet of each of `count` parts of a prefix."""
    bits = prefix.prefixlen + max(0, count - 1).bit_length()
    if bits > prefix.max_prefixlen:
        raise NoRoom(f"prefix {prefix} cannot be cut into {count} subnets")
    length = max(bits, _SUBNET_BITS[family])
    step = 1 << (prefix.max_prefixlen - bits)
    first = int(prefix.network_address)
    return [type(prefix)((first + number * step, length)) for number in range(count)]
