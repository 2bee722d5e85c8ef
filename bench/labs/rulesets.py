"""The nft rulesets of a lab's node, as text for `nft -f -`; bench.facts.ruleset reads what a node has of them."""

from collections.abc import Mapping, Sequence

from bench.facts.ruleset import FILTER_CHAIN, TABLE, rules

RULES_MOST = 15_000  # the labs' ports begin at 20000 (bench.schedule)
# Rules in one transaction. It is one message, and in a user namespace nft may not enlarge its socket's buffer beyond
# net.core.wmem_max: at the kernel's own 208 KiB 1000 rules fit and 1200 are "Message too long".
_AT_ONCE = 500


def filtering(family: str, count: int) -> tuple[str, ...]:
    """A chain in the forward hook of `family` ("bridge", "inet") with that many rules, accepting what is left.

    Each text is for an `nft -f -` of its own, in this order.
    """
    return (_chain(family, ["type filter hook forward priority 0; policy accept;"]), *_added(family, count))


def refilled(family: str, count: int) -> tuple[str, ...]:
    """The rules of that chain exchanged for others; texts as for `filtering`."""
    first, *others = _added(family, count) or ("",)
    return (f"flush chain {family} {TABLE} {FILTER_CHAIN}\n{first}", *others)


def _added(family: str, count: int) -> tuple[str, ...]:
    lines = rules(count)
    return tuple(_chain(family, lines[first : first + _AT_ONCE]) for first in range(0, count, _AT_ONCE))


def _chain(family: str, lines: Sequence[str]) -> str:
    inner = "".join(f"    {line}\n" for line in lines)
    return f"table {family} {TABLE} {{\n  chain {FILTER_CHAIN} {{\n{inner}  }}\n}}\n"


def translating(outside: str, to: Mapping[int, str]) -> str:
    """Masquerade what leaves by the device `outside`; with `to` (family -> address), forward ports from there to it."""
    post = f'    type nat hook postrouting priority 100; policy accept;\n    oifname "{outside}" masquerade\n'
    pre = "    type nat hook prerouting priority -100; policy accept;\n"
    for family, address in to.items():
        place = f"[{address}]" if family == 6 else address
        word = "ip" if family == 4 else "ip6"
        pre += f'    iifname "{outside}" meta nfproto ipv{family} meta l4proto {{ tcp, udp }} th dport 1024-65535 '
        pre += f"dnat {word} to {place}\n"
    chains = f"  chain postrouting {{\n{post}  }}\n" + (f"  chain prerouting {{\n{pre}  }}\n" if to else "")
    return f"table inet {TABLE} {{\n{chains}}}\n"


def masquerading(on: bool) -> str:
    """Masquerade by a treatment, whatever leaves; or no more of it. Works on a node with and without it."""
    table = f"table inet {TABLE}-nat"
    chain = "    type nat hook postrouting priority 100; policy accept;\n    masquerade\n"
    made = f"{table} {{\n  chain postrouting {{\n{chain}  }}\n}}\n" if on else ""
    return f"{table} {{ }}\ndelete {table}\n{made}"
