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
    lines = (Path(__file__).parents[3] / "docs" / "proxmox.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().startswith("site:"))
    depth = len(lines[start]) - len(lines[start].lstrip())
    rest = itertools.takewhile(lambda line: line.startswith(" " * (depth + 2)), lines[start + 1 :])
    site = "\n".join(["site:", *(line[depth:] for line in rest)])
    path.write_text(f"{SITE.partition('site:')[0]}{site}\n", encoding="utf-8")
    return path
