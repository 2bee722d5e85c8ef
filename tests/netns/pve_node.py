"""A machine that stands as a node of Proxmox VE: a tree like /etc/pve, and programs that print what the real ones do.

Its firewall's daemon is a loop that writes the sysctl behind an option of host.fw, as pve-firewall does while it is on.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.hosts.command import Command
from tests.netns.standing_hosts import Machines

ESTABLISHED = "nf_conntrack_tcp_timeout_established"
SYSCTL = f"net.netfilter.{ESTABLISHED}"
HOST_FW = """\
[OPTIONS]

# of the admin
log_level_in: warning
nf_conntrack_max: 300000

[RULES]

IN ACCEPT -p tcp -dport 22 -log nolog # ours
"""
_STANDS = """\
mkdir -p /etc/pve /run/nettune /etc/sysctl.d
mount -t tmpfs none /etc/pve; mount -t tmpfs none /usr/local/bin; mount -t tmpfs none /etc/sysctl.d
mkdir -p /etc/pve/nodes/pve1 /etc/pve/firewall
ln -s nodes/pve1 /etc/pve/local
: >/run/nettune/boots
mkdir /etc/pve/nodes/pve1/qemu-server
printf '#!/bin/sh\\necho "pve-manager/8.4.1/2a5fa54a8503f96d (running kernel: 6.8.12-9-pve)"\\n' \\
  >/usr/local/bin/pveversion
cat >/usr/local/bin/qm
chmod +x /usr/local/bin/*
"""
# What qm prints of a VM that runs (PVE/CLI/qm.pm, PVE/GuestHelpers.pm). It takes its NIC at once; where there is a file
# /run/nettune/cold its `hotplug` has no network, and what is set waits for a start.
_QM = """\
#!/bin/sh
conf=/etc/pve/local/qemu-server/$2.conf
new=$conf.pending
[ -e "$conf" ] || { echo "Configuration file 'nodes/pve1/qemu-server/$2.conf' does not exist" >&2; exit 2; }
[ -e "$new" ] && now=$new || now=$conf
case $1 in
config) cat "$now" ;;
pending) sed 's/^/cur /' "$conf"; [ "$now" = "$conf" ] || diff "$conf" "$now" | sed -n 's/^> /new /p' ;;
set)
  [ ! -e /run/nettune/locked ] || { echo "VM is locked (backup)" >&2; exit 255; }
  key=${3#--}
  sed "s#^$key: .*#$key: $4#" "$now" >"$conf.tmp"
  if [ -e /run/nettune/cold ]; then mv "$conf.tmp" "$new"; else mv "$conf.tmp" "$conf"; fi
  ! cmp -s "$conf" "$new" || rm "$new"
  echo "update VM $2: -$key $4" ;;
esac
"""
VM = """\
boot: order=scsi0
cores: 4
net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,trunks=10;20-30
net1: e1000=BC:24:11:AA:BB:CD,bridge=vmbr1,link_down=1
scsi0: local-lvm:vm-101-disk-0,size=2G
"""
_LEAVES = f"""\
echo 432000 >/proc/sys/net/netfilter/{ESTABLISHED}
rm -rf /var/lib/nettune /run/nettune
umount /etc/pve /usr/local/bin /etc/sysctl.d
while umount /proc/sys/kernel/random/boot_id 2>/dev/null; do :; done
"""
# $1: the option's name. update_nf_conntrack_tcp_timeout_established writes 432000 where the option is not set.
_DAEMON = """\
while :; do
  if grep -qs '^enable: 1' /etc/pve/firewall/cluster.fw; then
    value=$(sed -n "s/^$1: *//p" /etc/pve/local/host.fw 2>/dev/null)
    value=${value:-432000} sysctl=/proc/sys/net/netfilter/$1
    [ "$(cat "$sysctl")" = "$value" ] || echo "$value" >"$sysctl"
  fi
  sleep 0.2
done
"""


def sh(machines: Machines, line: str) -> str:
    """What a line of shell prints on a."""
    return machines.a.run(Command(("sh", "-c", line), deadline_s=60.0)).stdout


def host_fw(machines: Machines) -> str:
    """The file, "" where there is none, and whatever lies beside it that should not."""
    return sh(machines, "cat /etc/pve/nodes/pve1/*")


def vm(machines: Machines) -> str:
    """VM 101's configuration, and whatever lies beside it that should not."""
    return sh(machines, "cat /etc/pve/nodes/pve1/qemu-server/*")


@contextlib.contextmanager
def node(machines: Machines, *, on: bool = True) -> Iterator[None]:
    """Machine a is one, with its firewall on or off, and boots our script."""
    machines.a.run(Command(("sh", "-c", _STANDS), stdin=_QM)).require()
    files = {"firewall/cluster.fw": f"[OPTIONS]\nenable: {int(on)}\n", "nodes/pve1/host.fw": HOST_FW,
             "nodes/pve1/qemu-server/101.conf": VM}  # fmt: skip
    for path, text in files.items():
        machines.a.run(Command(("tee", f"/etc/pve/{path}"), stdin=text)).require()
    with machines.a.start(Command(("sh", "-c", _DAEMON, "sh", ESTABLISHED), deadline_s=1e6)) as daemon:
        try:
            yield
        finally:
            daemon.stop()
            sh(machines, _LEAVES)


def boot(machines: Machines, folder: Path, number: int) -> None:
    """Its kernel has another boot id; sysctls are the kernel's again where no firewall writes them; our script runs."""
    identity = folder / f"boot-id-{number}"
    identity.write_text(f"00000000-0000-4000-8000-00000000000{number}\n", encoding="utf-8")
    sh(machines, f"mount --bind {identity} /proc/sys/kernel/random/boot_id; "
                 "[ ! -e /var/lib/nettune/boot ] || sh /var/lib/nettune/boot boot")  # fmt: skip
