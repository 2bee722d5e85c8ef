"""Containers as endpoints: what the API is asked for in their words, and their files through their node.

A container has no agent, and the API gives a clone no key: both go over the node's SSH, by `pct`.
"""

import re

from bench.hosts.command import Command
from bench.pve.shells import NodeShells
from bench.pve.wanted import Wanted
from bench.pve.wire import Value
from results.errors import WrongInput

_ROOTFS_GB = 4
_KEEPS = ("bridge", "tag", "firewall", "rate", "mtu", "trunks")  # of a VM's net0
_ARCHIVE = re.compile(r"[^:]+:vztmpl/\S+")
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
_LET_IN = "umask 077; mkdir -p ~root/.ssh && cat >>~root/.ssh/authorized_keys"
WHY = "a container tells its host key through its node (pct exec)"


def archive(source: str) -> bool:
    """True for a container's archive: local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst."""
    return _ARCHIVE.fullmatch(source) is not None


def nics(wanted: Wanted) -> dict[str, str]:
    """Its NICs in a container's words: addresses stand there too. Raises WrongInput for what only a VM's has."""
    return {f"net{number}": _nic(number, *each, wanted.gateway if not number else "")
            for number, each in enumerate(wanted.nics)}  # fmt: skip


def _nic(number: int, net: str, address: str, gateway: str) -> str:
    model, _, rest = net.partition(",")
    given = dict(word.partition("=")[::2] for word in rest.split(","))
    others = [key for key in given if key not in _KEEPS] + ([f"model {model}"] if model != "virtio" else [])
    if others:
        raise WrongInput(f"a container's NIC has no {', '.join(others)}", hint="that is for VMs: a VM's template")
    kept = [f"{key}={value}" for key, value in given.items()]
    family = "6" if ":" in address else ""
    way = [f"ip{family}={address}", *([f"gw{family}={gateway}"] if gateway else [])]
    return ",".join((f"name=eth{number}", "type=veth", *kept, *way))


def anew(wanted: Wanted) -> dict[str, Value]:
    """What a container has that is no clone. Its systemd asks for nesting (pve-container's own default, too)."""
    return {
        "hostname": wanted.name, "ostemplate": wanted.source, "rootfs": f"{wanted.storage}:{_ROOTFS_GB}",
        "unprivileged": True, "features": "nesting=1", "ssh-public-keys": wanted.key.strip(),
    }  # fmt: skip


def settings(wanted: Wanted) -> dict[str, Value]:
    """What one of an archive and one of a template have alike. Raises WrongInput."""
    if wanted.affinity:
        raise WrongInput(
            "Proxmox VE pins no container to CPUs of a choice (affinity)", hint="leave it out, or take VMs"
        )
    return {
        "cores": wanted.cores, "memory": wanted.memory_mb, "swap": 0, **nics(wanted), "protection": False,
    }  # fmt: skip


def let_in(shells: NodeShells, node: str, vmid: int, key: str) -> None:
    """Our key for a clone that runs. Raises NotAble, HostFault."""
    argv = ("pct", "exec", str(vmid), "--", "sh", "-c", _LET_IN)
    shells.run(
        node, Command(argv, stdin=f"{key.strip()}\n"), "a cloned container gets its key through its node"
    ).require()


def host_key(shells: NodeShells, node: str, vmid: int) -> tuple[str, str]:
    """(its public host key or "", what was said). Raises NotAble, HostFault where the node itself does not answer."""
    outcome = shells.run(node, Command(("pct", "exec", str(vmid), "--", "cat", HOST_KEY)), WHY)
    return (
        (" ".join(outcome.stdout.split()[:2]), outcome.stderr.strip()) if outcome.ok else ("", outcome.stderr.strip())
    )
