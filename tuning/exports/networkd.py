"""A profile as a .link file of systemd.link(5), which udev reads when a device appears. Pure.

Only the first .link file that matches a device counts, for its name too: so this one says the name that it matched, and
the way in which Debian's 99-default.link names what it does not know.
"""

from collections.abc import Mapping

from tuning.exports.comments import comment, why
from tuning.knobs.table import knob_for
from tuning.profile import Profile

WARNING = (
    "of .link files only the first that matches a device counts: this one takes the place of any later one, of those "
    "too that pin names (pve-network-interface-pinning); a file before it makes it void. Try it before the next boot: "
    "udevadm test-builtin net_setup_link /sys/class/net/DEVICE; and the initramfs has a copy: update-initramfs -u"
)
# systemd.link(5) of 252, "[Link] section options".
OPTIONS: Mapping[str, str] = {
    "mtu": "MTUBytes", "txqueuelen": "TransmitQueueLength", "gso_max_size": "GenericSegmentOffloadMaxBytes",
    "rx-ring": "RxBufferSize", "tx-ring": "TxBufferSize", "channels": "CombinedChannels",
    "rx": "ReceiveChecksumOffload", "tx": "TransmitChecksumOffload", "tso": "TCPSegmentationOffload",
    "gso": "GenericSegmentationOffload", "gro": "GenericReceiveOffload", "lro": "LargeReceiveOffload",
    "tx-tcp-segmentation": "TCPSegmentationOffload", "tx-tcp6-segmentation": "TCP6SegmentationOffload",
    "rx-gro-hw": "GenericReceiveOffloadHardware", "ntuple": "NTupleFilter",
    "rxvlan": "ReceiveVLANCTAGHardwareAcceleration",
    "txvlan": "TransmitVLANCTAGHardwareAcceleration", "rx-vlan-filter": "ReceiveVLANCTAGFilter",
    "adaptive-rx": "UseAdaptiveRxCoalesce", "adaptive-tx": "UseAdaptiveTxCoalesce", "rx-usecs": "RxCoalesceSec",
    "tx-usecs": "TxCoalesceSec", "rx-frames": "RxMaxCoalescedFrames", "tx-frames": "TxMaxCoalescedFrames",
}  # fmt: skip


_ALSO: Mapping[str, tuple[str, ...]] = {"tso": ("TCP6SegmentationOffload",)}  # its word is of IPv4 alone


def link_file(profile: Profile, device: str) -> str:
    """The file /etc/systemd/network/10-nettune-DEVICE.link."""
    lines: list[str] = []
    left: list[str] = []
    for each in profile.settings:
        option, value = OPTIONS.get(each.setting, ""), " ".join(each.value.split())
        knob = knob_for(each.setting)
        if not option:
            where = "its file of sysctl.d" if knob is not None and knob.kind == "sysctl" else "another format"
            left += comment(f"{each.setting} = {each.value}: no option of .link files; see {where}")
            continue
        unit = "us" if option.endswith("CoalesceSec") else ""
        lines += [*comment(why(profile, each)), f"{option}={value}{unit}"]
        lines += [f"{also}={value}" for also in _ALSO.get(each.setting, ())]
    return "\n".join((
        *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment(f"For /etc/systemd/network/10-nettune-{device}.link. Careful: {WARNING}"), *left,
        "[Match]", f"OriginalName={device}", "",
        "[Link]", "NamePolicy=keep kernel database onboard slot path",
        "AlternativeNamesPolicy=database onboard slot path", "MACAddressPolicy=persistent", *lines,
    )) + "\n"  # fmt: skip
