"""GRUB on a disk image, without grub-install: its sectors for a BIOS as we write them, and its configuration. Pure.

GRUB 2.06, include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/{boot,diskboot}.S: what grub-bios-setup would do on a
device is two numbers in two sectors.
"""

import struct

from bench.images.disk_recipe import SECTOR_BYTES

_CODE_BYTES = 440  # of a master boot record; a disk signature and the partitions come after
_KERNEL_SECTOR = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR: where boot.img finds the first sector of the core image
_BLOCKLIST = SECTOR_BYTES - 12  # the core image's first sector finds the others: start, count, segment


def boot_code(boot_img: bytes, core_sector: int) -> bytes:
    """The code of the first sector: boot.img, told where the core image begins. Raises ValueError for another file."""
    if len(boot_img) != SECTOR_BYTES or boot_img[-2:] != b"\x55\xaa":
        raise ValueError("no boot.img of GRUB")
    return boot_img[:_KERNEL_SECTOR] + struct.pack("<Q", core_sector) + boot_img[_KERNEL_SECTOR + 8 : _CODE_BYTES]


def core(core_img: bytes, sector: int, sectors: int) -> bytes:
    """The core image, told that its other sectors follow its first one on the disk.

    Raises ValueError where it does not fit, or is no core image for a disk in one piece.
    """
    start, count, segment = struct.unpack_from("<QHH", core_img, _BLOCKLIST)
    rest = -(-len(core_img) // SECTOR_BYTES) - 1
    if count != rest or not segment:
        raise ValueError(f"no core image of GRUB: {count} of {rest} sectors from {start} at {segment:#x}")
    if rest + 1 > sectors:
        raise ValueError(f"GRUB takes {rest + 1} sectors of {sectors}")
    return core_img[:_BLOCKLIST] + struct.pack("<QHH", sector + 1, count, segment) + core_img[SECTOR_BYTES:]


def configuration(cmdline: str) -> str:
    """grub.cfg: one entry and no waiting. It is read from the root file system, where it can be edited."""
    return (
        "# No menu: one kernel. What is changed here counts from the next boot on.\n"
        f"linux /boot/vmlinuz {cmdline}\n"
        "initrd /boot/initrd\n"
        "boot\n"
    )


def partitions(disk: str, parts: tuple[tuple[int, int, str, str], ...]) -> str:
    """A script for sfdisk(8): a GPT with (start, sectors or 0 for the rest, type, UUID) of each partition."""
    lines = ["label: gpt", f"label-id: {disk}", "unit: sectors", f"sector-size: {SECTOR_BYTES}", ""]
    for start, sectors, kind, uuid in parts:
        size = f"size={sectors}, " if sectors else ""
        lines.append(f"start={start}, {size}type={kind}, uuid={uuid}")
    return "\n".join(lines) + "\n"
