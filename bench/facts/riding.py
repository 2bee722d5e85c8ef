"""What a host says of its devices: how they lie on each other, what rides on them, where its way out begins."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.facts import openvswitch, roles, tailed
from bench.facts.roles import Link, Role, Routes, Stack
from bench.hosts.command import Command
from bench.hosts.host import Host
from results.errors import NotAble

# What a host needs beside a shell: reading state, changing it, and the guard behind a change.
TOOLS = ("ip", "tc", "bridge", "ethtool", "ss", "grep", "tail", "tee", "flock", "setsid", "sync")
_LACKING = 'for tool do command -v "$tool" >/dev/null || echo "$tool"; done'
_PACKAGES = "apt-get install --no-install-recommends iproute2 ethtool util-linux coreutils grep"


@dataclass(frozen=True, slots=True)
class Riding:
    """`ridden`: every device with what rides on it; `gateways`: the neighbours that default routes lead to.

    `ssh_port`: the one on which our SSH connection came in; "" for this machine itself. `peers`: (address, device) of
    storage and of other nodes' rings.
    """

    stack: Stack
    ridden: tuple[Role, ...]
    gateways: tuple[str, ...]
    ssh_port: str = ""
    peers: tuple[tuple[str, str], ...] = ()


def able(host: Host) -> None:
    """Raise NotAble where a tool is missing, or where we are not root."""
    missing, user = host.run_all((Command(("sh", "-c", _LACKING, "sh", *TOOLS)), Command(("id", "-u"))))
    if words := missing.require().stdout.split():
        raise NotAble(f"on {host.name}: not installed: {', '.join(words)}", hint=_PACKAGES)
    if user.stdout.strip() != "0":
        how = "ssh://root@…, or ssh+sudo://admin@… (in an inventory: sudo: on)"
        raise NotAble(f"on {host.name}: changes and their guard need root",
                      hint="sudo nettune …" if host.local else how)  # fmt: skip


def asked(host: Host, ours: Collection[str] = ()) -> Riding:
    """Ask it; guests whose devices are `ours` ride on nothing. Raises NotAble where that cannot be told."""
    told = host.run(roles.CONNECTION).stdout.split()
    if len(told) != 4 and not host.local:
        raise NotAble(
            f"on {host.name}: it cannot be told over which device our SSH connection comes "
            f"(SSH_CONNECTION is {' '.join(told)!r})",
            hint="does its sshd set SSH_CONNECTION? A forced command may take it away",
        )
    addresses, four, six, texts = host.run_all(roles.QUESTIONS)
    try:
        links = roles.links(roles.rows(addresses.require().stdout))
        tables = roles.rows(four.require().stdout), roles.rows(six.stdout)
        by = roles.routes(*tables)
        if openvswitch.there(links):
            links = _switched(host, links, by)
        if roles.untold(links):
            links = roles.tunnelled(links, by, roles.rows(host.run(roles.TUNNELLED).require().stdout))
        stack = Stack(links)
        files = tailed.files(texts.stdout)
        ridden = roles.resolved(stack, roles.began(stack, by, files, told), ours=ours)
        port = told[3] if told else ""
        return Riding(stack, ridden, roles.gateways(*tables), port, roles.peers(stack, by, files))
    except (ValueError, KeyError, TypeError) as error:
        raise NotAble(
            f"on {host.name}: its devices cannot be told: {error!r}", hint="iproute2 of 5.0 or later prints JSON"
        ) from error


def _switched(host: Host, links: Sequence[Link], by: Routes) -> tuple[Link, ...]:
    bridges = openvswitch.told(host.run(openvswitch.QUESTION))
    if bridges is None and openvswitch.hidden(links):
        raise NotAble(
            f"on {host.name}: Open vSwitch does not tell which devices its bridges join, and the kernel does not know",
            hint=f"this must answer there: {openvswitch.QUESTION}",
        )
    return openvswitch.joined(links, bridges, by)
