"""Knobs of a device whose questions do not change with the catalogue, and where their transcript lies."""

from pathlib import Path

from tuning.knobs.catalogue import catalogue

TRANSCRIPT = Path(__file__).parents[2] / "transcripts" / "knobs" / "virtio.json"
KINDS = {"feature", "link", "ring", "channel", "coalescing", "rss", "qdisc"}
OF_A_NIC = tuple(each for each in catalogue().values() if each.kind in KINDS and each.how in {"ethtool", "ip", "tc"})
