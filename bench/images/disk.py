"""The image for Proxmox: a qcow2 disk with GRUB, an ext4 root file system, systemd and cloud-init. ADR 0019.

Made of plain files by tools that write them: nothing is mounted, no loop device is taken.
"""

import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import archive, bootloader, debian, kernel
from bench.images import disk_recipe as recipe
from bench.images.build import Kind, Parts, Progress

DISK = "disk.qcow2"
_ESP_SECTORS = recipe.ROOT_START - recipe.ESP_START
# The last MiB is the backup of the partition table.
_ROOT_KIB = (recipe.SIZE_BYTES - recipe.ROOT_START * recipe.SECTOR_BYTES) // 1024 - 1024
# Types of partitions: BIOS boot, EFI system, root of x86-64 (Discoverable Partitions Specification).
_BIOS, _EFI = "21686148-6449-6e6f-744e-656564454649", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_X86_64_ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
_SFDISK = 'PATH="$PATH:/usr/sbin:/sbin"; exec sfdisk --quiet --no-reread --no-tell-kernel "$1"'
# $1 is the merged tree as tar, $2 where it is laid out, $3 the disk, $4 the place in it in bytes; then mke2fs's options
# and the size. mke2fs -d takes all times from the laid-out files, which are those of this build but for most of the
# times of change: debugfs makes them one date.
_EXT4 = """\
set -eu
export E2FSPROGS_FAKE_TIME={epoch} PATH="$PATH:/usr/sbin:/sbin"
tar=$1 tree=$2 file=$3 at=$4
shift 4
mkdir "$tree"
tar -xf "$tar" -C "$tree" --numeric-owner -p
mke2fs -q -F -t ext4 -d "$tree" "$@"
used=$(find "$tree" -printf '%i\\n' | sort -u | wc -l)
{{
  for number in 2 $(seq 11 "$((used + 10))"); do
    for field in ctime atime mtime crtime; do
      echo "sif <$number> $field @{epoch}"
      echo "sif <$number> $field""_extra 0"
    done
  done
}} >"$file.times"
debugfs -w -f "$file.times" "$file?offset=$at" >/dev/null
e2fsck -fn "$file?offset=$at" >/dev/null
rm -rf "$tree" "$file.times"
"""
# $1 is the folder that the packages were unpacked to, $2 the format, $3 the file, $4 the prefix; then modules.
_GRUB = """\
set -eu
from=$1 format=$2 file=$3 prefix=$4
shift 4
export LD_LIBRARY_PATH=$(echo "$from"/lib/*-linux-gnu "$from"/usr/lib/*-linux-gnu | tr ' ' ':')
exec "$from/usr/bin/grub-mkimage" -d "$from/usr/lib/grub/$format" -O "$format" -o "$file" -p "$prefix" "$@"
"""
_FAT = """\
set -eu
export SOURCE_DATE_EPOCH={epoch} MTOOLS_SKIP_CHECK=1 TZ=UTC
touch -d @{epoch} "$2"
mformat -i "$1" -T {sectors} -N {serial} -v NETTUNE ::
mmd -i "$1" ::/EFI ::/EFI/BOOT
mcopy -i "$1" -m "$2" ::/EFI/BOOT/BOOTX64.EFI
"""


def pack(parts: Parts, out: Path, local: Host, progress: Progress) -> Mapping[str, str]:
    """The disk in `out`; gives the packages of its boot loader."""
    raw = parts.work / "disk.raw"
    with progress.step("initrd"), tarfile.open(parts.tree_tar) as tree:
        initrd = archive.cpio(kernel.initrd(tree, parts.kernel, parts.recipe))
    with progress.step("boot loader, by grub-mkimage"):
        grub = parts.work / "grub"
        packages = {
            name: version
            for prefix in ("grub-", "libdevmapper")
            for name, version in debian.unpacked(parts.tree_tar, prefix, grub, local).items()
        }
        _partitioned(raw, local)
        _bootable(parts, grub, raw, local)
    with progress.step("root file system, by mke2fs"):
        _root(parts, initrd, raw, local)
    with progress.step("disk, by qemu-img"):
        how = ("-f", "raw", "-O", "qcow2", "-c", "-o", f"compression_type={parts.recipe.compression[0]}")
        words = ("qemu-img", "convert", *how, str(raw), str(out / DISK))
        local.run(Command(words, deadline_s=600.0)).require()
    return packages


def _partitioned(raw: Path, local: Host) -> None:
    """An empty disk with its partition table."""
    with raw.open("wb") as empty:
        empty.truncate(recipe.SIZE_BYTES)
    table = bootloader.partitions(
        recipe.DISK_UUID,
        (
            (recipe.BIOS_START, recipe.ESP_START - recipe.BIOS_START, _BIOS, recipe.BIOS_UUID),
            (recipe.ESP_START, _ESP_SECTORS, _EFI, recipe.ESP_UUID),
            (recipe.ROOT_START, _ROOT_KIB * 1024 // recipe.SECTOR_BYTES, _X86_64_ROOT, recipe.ROOT_PART_UUID),
        ),
    )
    words = ("sh", "-c", _SFDISK, "sh", str(raw))
    local.run(Command(words, stdin=table, deadline_s=60.0)).require()


def _bootable(parts: Parts, grub: Path, raw: Path, local: Host) -> None:
    """GRUB for a BIOS in the first sector and a partition of its own, for UEFI on a FAT file system."""
    core, efi, esp = (parts.work / name for name in ("core.img", "grub.efi", "esp.img"))
    for target, file, more in (("i386-pc", core, ("biosdisk",)), ("x86_64-efi", efi, ())):
        # the third partition of the disk that this was booted from
        words = (str(grub), target, str(file), "(,gpt3)/boot/grub", *more, *recipe.GRUB_MODULES)
        local.run(Command(("sh", "-c", _GRUB, "sh", *words), deadline_s=60.0)).require()
    with esp.open("wb") as empty:
        empty.truncate(_ESP_SECTORS * recipe.SECTOR_BYTES)
    fat = _FAT.format(epoch=parts.recipe.epoch_s, sectors=_ESP_SECTORS, serial=recipe.FAT_SERIAL)
    local.run(Command(("sh", "-c", fat, "sh", str(esp), str(efi)), deadline_s=60.0)).require()
    boot_img = (grub / "usr" / "lib" / "grub" / "i386-pc" / "boot.img").read_bytes()
    room = recipe.ESP_START - recipe.BIOS_START
    with raw.open("r+b") as disk:
        for sector, content in (
            (0, bootloader.boot_code(boot_img, recipe.BIOS_START)),
            (recipe.BIOS_START, bootloader.core(core.read_bytes(), recipe.BIOS_START, room)),
            (recipe.ESP_START, esp.read_bytes()),
        ):
            disk.seek(sector * recipe.SECTOR_BYTES)
            disk.write(content)


def _root(parts: Parts, initrd: bytes, raw: Path, local: Host) -> None:
    """The ext4 file system, at its place on the disk."""
    merged = parts.work / "merged.tar"
    own = (
        *kernel.own(parts.kernel, parts.recipe),
        archive.file("boot/vmlinuz", parts.kernel.image.read_bytes()),
        archive.file("boot/initrd", initrd),
        archive.file("boot/grub/grub.cfg", bootloader.configuration(parts.recipe.cmdline).encode()),
    )
    with tarfile.open(parts.tree_tar) as tree, tarfile.open(merged, "w", format=tarfile.GNU_FORMAT) as whole:
        archive.merge(tree, own, whole, parts.recipe.dropped)
    at = str(recipe.ROOT_START * recipe.SECTOR_BYTES)
    options = (
        *("-L", "nettune", "-U", recipe.ROOT_UUID, "-m", "1"),
        # Zeroed tables: otherwise the guest's kernel would write them, in the middle of what it measures.
        *(
            "-E",
            f"offset={at},hash_seed={recipe.HASH_SEED},root_owner=0:0,lazy_itable_init=0,assume_storage_prezeroed=1",
        ),
        # GRUB 2.06 reads neither; mke2fs of Debian 13 makes both by default.
        *("-O", "^metadata_csum_seed,^orphan_file"),
        *(str(raw), f"{_ROOT_KIB}k"),
    )
    alone = debian.ROOT_ALONE if os.geteuid() == 0 else ("setpriv", "--pdeathsig", "TERM", "fakeroot", "--")
    script = _EXT4.format(epoch=parts.recipe.epoch_s)
    words = ("sh", "-c", script, "sh", str(merged), str(parts.work / "tree"), str(raw), at, *options)
    local.run(Command((*alone, *words), deadline_s=600.0)).require()
    merged.unlink()


DISK_KIND = Kind(
    name="disk",
    recipe=recipe.DISK,
    files=(DISK,),
    tools={
        "mke2fs": "e2fsprogs",
        "sfdisk": "fdisk",
        "mformat": "mtools",
        "qemu-img": "qemu-utils",
        **({} if os.geteuid() == 0 else {"fakeroot": "fakeroot"}),
    },
    room_bytes=1_800_000_000,  # measured: 1.5 GB at most, for tree and tar archives and the disk
    takes="one to two minutes, 120 MB of downloads, 128 MB kept",
    pack=pack,
)
