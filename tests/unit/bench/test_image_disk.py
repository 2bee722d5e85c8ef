"""GRUB's sectors and the partition table of the disk image: what is written where, and what is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.images import bootloader, disk_recipe, recipe
from bench.images.disk_recipe import DISK

BOOT_IMG = (bytes(range(256)) * 2)[:-2] + b"\x55\xaa"


def _core(sectors: int) -> bytes:
    """As grub-mkimage leaves it: the block list knows the count, and where the first sector loads the others."""
    first = bytes(500) + struct.pack("<QHH", 2, sectors - 1, 0x820)
    return first + b"c" * (512 * (sectors - 1) - 100)  # its last sector is not whole


def test_the_boot_sector_is_told_where_the_core_image_is_and_ends_before_the_partitions() -> None:
    """All else of boot.img stays; the protective partition table of sfdisk is not touched."""
    code = bootloader.boot_code(BOOT_IMG, 2048)

    assert len(code) == 440
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[:0x5C] + code[0x64:] == BOOT_IMG[:0x5C] + BOOT_IMG[0x64:440]


@given(st.integers(2, 2048), st.integers(34, 1 << 40))
def test_the_core_image_is_told_that_it_lies_in_one_piece(sectors: int, at: int) -> None:
    """Count and segment are grub-mkimage's; nothing behind the first sector changes."""
    image = _core(sectors)
    made = bootloader.core(image, at, 2048)

    assert struct.unpack_from("<QHH", made, 500) == (at + 1, sectors - 1, 0x820)
    assert (made[:500], made[512:]) == (image[:500], image[512:])


def test_what_is_no_grub_is_refused() -> None:
    """Another boot sector, a core image for a network boot, one that is longer than its partition."""
    with pytest.raises(ValueError, match=r"no boot\.img of GRUB"):
        bootloader.boot_code(bytes(512), 2048)
    with pytest.raises(ValueError, match="no core image of GRUB: 0 of 4 sectors"):
        bootloader.core(bytes(2100), 2048, 2048)
    with pytest.raises(ValueError, match="GRUB takes 2049 sectors of 2048"):
        bootloader.core(_core(2049), 2048, 2048)


def test_the_configuration_boots_the_one_kernel_with_the_recipes_words() -> None:
    """The console that Proxmox shows is named last, and so is /dev/console."""
    lines = bootloader.configuration(DISK.cmdline).splitlines()

    assert lines[1:] == [f"linux /boot/vmlinuz {DISK.cmdline}", "initrd /boot/initrd", "boot"]
    assert [word for word in DISK.cmdline.split() if word.startswith("console=")][-1] == "console=ttyS0,115200"
    assert f"root=UUID={disk_recipe.ROOT_UUID}" in DISK.cmdline


def test_the_partition_table_has_fixed_ids() -> None:
    """The same disk each time; a partition without a size takes the rest."""
    script = bootloader.partitions("d0", ((2048, 10, "t1", "u1"), (4096, 0, "t2", "u2")))

    assert script.splitlines() == [
        "label: gpt",
        "label-id: d0",
        "unit: sectors",
        "sector-size: 512",
        "",
        "start=2048, size=10, type=t1, uuid=u1",
        "start=4096, type=t2, uuid=u2",
    ]


def test_the_tools_of_both_images_are_the_same() -> None:
    """Whatever a lab's guest can measure with, one of Proxmox can."""
    assert set(recipe.LAB.packages) < set(DISK.packages)
