"""A device's feature bitmaps, asked of the kernel itself: `python3 -c TEXT DEVICE` prints them as JSON.

Like `remote` it is given to a host's python3 as text. What `ethtool -k` prints joins them: "fixed" is what is not in
hw, or in nochange. ETHTOOL_MSG_FEATURES_GET of Documentation/networking/ethtool-netlink.rst, from Linux 5.7 on.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Iterator

CONTROL, GET_FAMILY, NAME, ID = 16, 3, 2, 1  # linux/genetlink.h: GENL_ID_CTRL, CTRL_CMD_GETFAMILY, its attributes
FEATURES_GET, HEADER, DEVICE = 11, 1, 2  # linux/ethtool_netlink.h
BITMAPS = {2: "hw", 3: "wanted", 4: "active", 5: "nochange"}
NOMASK, BITS, BIT_NAME, BIT_VALUE = 1, 3, 2, 3
REQUEST, ERROR, NESTED = 1, 2, 0x8000  # linux/netlink.h


def attribute(kind: int, body: bytes) -> bytes:
    """One attribute, padded."""
    made = struct.pack("HH", 4 + len(body), kind) + body
    return made + b"\0" * (-len(made) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each attribute. Raises ValueError for one that is longer than what holds it."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("HH", data, at)
        if not 4 <= length <= len(data) - at:
            raise ValueError(f"an attribute of {length} bytes in {len(data) - at}")
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + (-length % 4)


def message(family: int, command: int, body: bytes) -> bytes:
    """A request of generic netlink."""
    return struct.pack("IHHII", 20 + len(body), family, REQUEST, 1, 0) + struct.pack("BBH", command, 1, 0) + body


def answered(door: socket.socket, asked: bytes) -> bytes:
    """The attributes of the answer. Raises OSError with the kernel's reason."""
    door.send(asked)
    got = door.recv(1 << 18)
    length, kind = struct.unpack_from("IH", got)
    if kind == ERROR:
        number = -struct.unpack_from("i", got, 16)[0]
        raise OSError(number, f"the kernel answered with error {number}")
    return got[20:length]


def bitmaps(answer: bytes) -> dict[str, list[str]]:
    """The features that are set in each bitmap, by the kernel's strings."""
    found: dict[str, list[str]] = {name: [] for name in BITMAPS.values()}
    for kind, body in attributes(answer):
        if kind not in BITMAPS:
            continue
        parts = list(attributes(body))
        listed = any(each == NOMASK for each, _ in parts)  # then only what is set is there, and needs no value
        for _, bit in (pair for each, bits in parts if each == BITS for pair in attributes(bits)):
            said = dict(attributes(bit))
            if listed or BIT_VALUE in said:
                found[BITMAPS[kind]].append(said[BIT_NAME].rstrip(b"\0").decode())
    return found


def main() -> None:
    """Ask for the device of the first word."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as door:  # NETLINK_GENERIC
        door.bind((0, 0))
        told = dict(attributes(answered(door, message(CONTROL, GET_FAMILY, attribute(NAME, b"ethtool\0")))))
        family = struct.unpack_from("H", told[ID])[0]
        device = attribute(HEADER | NESTED, attribute(DEVICE, sys.argv[1].encode() + b"\0"))
        found = bitmaps(answered(door, message(family, FEATURES_GET, device)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
