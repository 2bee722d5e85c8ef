"""Cluster's files with a site: a small one, and that of the documentation."""

import itertools
from pathlib import Path

SITE = """\
api: https://pve1:8006
token: nettune@pve!bench
secret_file: secret
fingerprint: "AA"
site:
  nodes: [pve1, pve2]
  template: 9000
  storage: local-lvm
  management: vmbr0
  addresses: [192.0.2.10/24, 192.0.2.11/24, 192.0.2.12/24, 192.0.2.13/24]
  networks:
    bridge: {bridge: vmbr1}
    vlan: {bridge: vmbr1, tag: 100, mtu: 1400}
"""


def documented(path: Path) -> Path:
    """The site of docs/proxmox.md, written there with the small one's access."""
    site = "\n".join(_block("site:", 2))
    path.write_text(f"{SITE.partition('site:')[0]}{site}\n", encoding="utf-8")
    return path


def own_plan(path: Path) -> Path:
    """The plan of one's own of docs/proxmox.md, written there."""
    path.write_text("\n".join(_block("name: same-node", 0)) + "\n", encoding="utf-8")
    return path


def _block(first: str, deeper: int) -> list[str]:
    """The document's lines from that one on, as far as they are indented so much deeper; without its indentation."""
    lines = (Path(__file__).parents[3] / "docs" / "proxmox.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().startswith(first))
    depth = len(lines[start]) - len(lines[start].lstrip())
    rest = itertools.takewhile(lambda line: line.startswith(" " * (depth + deeper)), lines[start + 1 :])
    return [line[depth:] for line in (lines[start], *rest)]
