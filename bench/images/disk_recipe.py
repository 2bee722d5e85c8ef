"""What the disk image for Proxmox is made of, as data: a whole Debian with systemd, cloud-init and a boot loader."""

from bench.images import recipe

# What makes a lab's guest a machine of its own; the tools are the same.
_MORE_PACKAGES = (
    "apt",
    "ca-certificates",
    "cloud-init",
    "dbus",
    "debian-archive-keyring",
    "sudo",  # cloud-init gives it to its default user
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)
# Unpacked for the build alone: grub-mkimage and what it makes a boot loader of. Nothing of GRUB is on the builder.
_GRUB = ("grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "libdevmapper1.02.1")

# The root file system is on virtio-blk or virtio-scsi; ext4 is built into the cloud kernel.
_INITRD_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
# And what else of Proxmox's devices a guest meets: the cloud-init drive (IDE of i440fx, or SCSI), the power button.
_MORE_MODULES = (
    "drivers/acpi/",
    "drivers/ata/",
    "drivers/block/",
    "drivers/cdrom/",
    "drivers/firmware/",
    "drivers/input/",
    "drivers/scsi/",
    "drivers/watchdog/",
    "fs/autofs/",
    "fs/fat/",
    "fs/isofs/",
    "fs/nls/",
)

# Never in the image: what differs between two builds, or tells of the machine that built it. apt and dpkg work.
_DROPPED = (
    "boot/*",
    "dev/*",  # devtmpfs
    "etc/apt/apt.conf.d/99mmdebstrap",  # the machine's proxy
    "etc/apt/sources.list",  # cloud-init writes one
    "etc/apt/sources.list.d/*",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/ssh/ssh_host_*",
    "run/*",
    "tmp/*",
    "usr/share/doc/*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/catalog/*",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/log/*",
)

# Services that nobody asked for in a guest that measures, and timers that would wake up in the middle of it.
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cloud-init-hotplugd.socket",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "haproxy.service",
    "iperf3.service",
    "irtt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-pstore.service",
    "systemd-timesyncd.service",
)
_UNITS = "etc/systemd/system"
_ENABLED = (("multi-user", "systemd-networkd.service"), ("sysinit", "systemd-resolved.service"))

ROOT_UUID = "6e657474-756e-4e64-8973-6b726f6f7400"  # of the file system: nettun…diskroot
DISK_UUID, BIOS_UUID, ESP_UUID, ROOT_PART_UUID = (f"6e657474-756e-4e64-8973-6b70617274{n:02x}" for n in range(4))
HASH_SEED = "6e657474-756e-4e64-8973-6b6861736800"
FAT_SERIAL = "6e740001"
SECTOR_BYTES = 512
BIOS_START, ESP_START, ROOT_START = 2048, 4096, 20480  # in sectors: 1 MiB for GRUB, 8 MiB of FAT, the rest
SIZE_BYTES = 2 << 30
# The console that is named last is /dev/console: Proxmox shows it by `qm terminal`.
CMDLINE = f"root=UUID={ROOT_UUID} console=tty0 console=ttyS0,115200 quiet"
GRUB_MODULES = ("part_gpt", "ext2", "linux", "normal", "echo", "test", "search", "search_fs_uuid", "reboot", "halt")

DISK = recipe.Recipe(
    packages=tuple(sorted((*recipe.PACKAGES, *_MORE_PACKAGES))),
    fetched=_GRUB,
    initrd_modules=_INITRD_MODULES,
    kept_modules=tuple(sorted((*recipe.KEPT_MODULES, *_MORE_MODULES))),
    dropped=_DROPPED,
    own_files=(
        ("etc/cloud/cloud.cfg.d/90_nettune.cfg", 0o644, "disk-cloud.cfg"),
        ("etc/cloud/ds-identify.cfg", 0o644, "disk-ds-identify.cfg"),
        ("etc/machine-id", 0o444, "disk-machine-id"),
        ("etc/modprobe.d/nettune.conf", 0o644, "modprobe.conf"),
        ("etc/ssh/sshd_config.d/nettune.conf", 0o644, "disk-sshd.conf"),
        (f"{_UNITS}/cloud-init-local.service.d/nettune.conf", 0o644, "disk-cloud-local.conf"),
        (f"{_UNITS}/systemd-networkd-wait-online.service.d/nettune.conf", 0o644, "disk-wait-online.conf"),
    ),
    own_links=(
        ("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        *((f"{_UNITS}/{unit}", "/dev/null") for unit in _MASKED),
        *((f"{_UNITS}/{target}.target.wants/{unit}", f"/usr/lib/systemd/system/{unit}")
          for target, unit in _ENABLED),
    ),
    own_folders=(
        *(("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777), ("boot", 0o755)),
        *(("boot/grub", 0o755), ("root/.ssh", 0o700), ("var/cache/apt", 0o755), ("var/log/apt", 0o755)),
        (f"{_UNITS}/cloud-init-local.service.d", 0o755),
        (f"{_UNITS}/systemd-networkd-wait-online.service.d", 0o755),
    ),
    initrd_init="disk-initrd-init",
    compression=("zstd",),
    cmdline=CMDLINE,
    layout=(
        ("root", ROOT_UUID), ("disk", DISK_UUID), ("hash", HASH_SEED), ("fat", FAT_SERIAL),
        ("starts", f"{BIOS_START} {ESP_START} {ROOT_START}"), ("size", SIZE_BYTES), ("grub", " ".join(GRUB_MODULES)),
    ),
)  # fmt: skip
