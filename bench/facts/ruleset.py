"""An nft ruleset as facts: every block by the digest of its lines, and how much of it is a lab's own.

A lab's filter rules compare the source port with one that nobody uses: none matches, all are evaluated for every
packet, and each costs the same for TCP and UDP, IPv4 and IPv6. `th sport` reads the first two bytes after the network
header, which are type and code of an ICMP packet; the ports begin above any that is in use (type 14) and end below the
labs' own.
"""

import hashlib
import re

TABLE = "nettune"
FILTER_CHAIN = "forward"
_FIRST_PORT = 4096


def rules(count: int) -> list[str]:
    """`count` different rules that no packet of a lab matches, as nft prints them."""
    return [f"th sport {_FIRST_PORT + number} drop" for number in range(count)]


def blocks(listing: str) -> dict[str, list[str]]:
    """`nft -s list ruleset` by block ("bridge nettune chain forward"), with the lines inside it, stripped."""
    found: dict[str, list[str]] = {}
    table, block = "", ""
    for line in listing.splitlines():
        text = line.strip()
        if opened := re.fullmatch(r"table (\S+ \S+) \{", text):
            table, block = opened[1], opened[1]
            found[block] = []
        elif text.endswith("{") and block == table and not _anonymous(text):
            block = f"{table} {text.removesuffix('{').strip()}"
            found[block] = []
        elif text == "}":
            block, table = (table, table) if block != table else ("", "")
        elif text:
            found.setdefault(block or "?", []).append(text)
    return found


def facts(listing: str) -> dict[str, str]:
    """A ruleset as facts: each block with the number of its lines and their digest, and what is ours in it.

    `firewall/FAMILY/rules` is the number of our rules in the forward chain ("foreign" where others stand among them),
    `nat/masquerade` whether a treatment masquerades.
    """
    found = {"nat/masquerade": "off"}
    for block, lines in blocks(listing).items():
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        found[f"nft/{block}"] = f"{len(lines)} lines, {digest}"
        if chain := re.fullmatch(rf"(bridge|inet) {TABLE} chain {FILTER_CHAIN}", block):
            held = [line for line in lines if not line.startswith("type ")]
            found[f"firewall/{chain[1]}/rules"] = str(len(held)) if held == rules(len(held)) else "foreign"
        if block == f"inet {TABLE}-nat chain postrouting":
            found["nat/masquerade"] = "on"
    return found


def _anonymous(text: str) -> bool:
    """A line inside a block that only opens a set of its own (`elements = {`)."""
    return "=" in text
