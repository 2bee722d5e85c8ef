"""Stands a Topology with virtual machines at its ends: QEMU guests on taps of the same bridges, bonds and VLANs.

The nodes between them are network namespaces of this machine, as in labs.namespaces, or guests too: then the whole
path runs on Debian's kernel, whatever this machine's own lacks.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command, Unreachable, ended
from bench.hosts.host import Host, Running
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.images.recipe import CMDLINE
from bench.images.seed import seed
from bench.labs import guests as machines
from bench.labs import keys
from bench.labs import lease as leases
from bench.labs import standing as stood
from bench.labs.blueprint import Blueprint, drawn_up
from bench.labs.cabling import PATCH, Cabling, cables, cabling
from bench.labs.guests import Accelerator, Cable, Guests, Machine
from bench.labs.keys import KeyPair
from bench.labs.kit import READY, Kit
from bench.labs.lab import Lab
from bench.labs.names import mac
from bench.labs.namespaces import HINT
from bench.labs.patching import monitor, patched
from bench.labs.restarting import Restarting
from bench.labs.site import Room, Site, opened
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.labs.veths import of_pairs

_BOOT_S: Mapping[Accelerator, float] = {"kvm": 30.0, "tcg": 90.0}  # a guest alone takes 4 s under TCG
_ATTEMPTS = 2  # one start in fifty hangs before its first line (microvm; q35 was not seen to)
_UP_S = 10.0
_FIRST_PORT = 2201
# The kernel cuts them by the guest's memory, by some bytes more or less at each boot (tcp_init); a resumed run would
# not find the guests that it began with. These are what it gives a machine of 1 GB or more.
_BUFFERS = (
    Command(("tee", "/proc/sys/net/ipv4/tcp_rmem"), stdin="4096 131072 6291456"),
    Command(("tee", "/proc/sys/net/ipv4/tcp_wmem"), stdin="4096 16384 4194304"),
)
# Choosing bbr would load its module and put it on the list, which nothing takes off again: it is there from the start.
_CONTROLS = (
    Command(("modprobe", "tcp_bbr")),
    Command(("tee", "/proc/sys/net/ipv4/tcp_allowed_congestion_control"), stdin="reno cubic bbr"),
)
_CONSOLE_LINES = 15  # in an error
_ENDED_S = 0.5  # a process that is killed closes its sockets, of which we hear, before it has ended


@contextlib.contextmanager
def standing(topology: Topology, kit: Kit, *, leases_folder: Path) -> Iterator[Lab]:
    """The Lab, removed on leaving; what a SIGKILL leaves is in the lease. Raises LabBroken with a guest's console."""
    cabled = cabling(topology, nodes=kit.guests.nodes)
    with (
        opened(kit.guests.node) as site,
        leases.held(leases_folder) as lease,
        site.rooms(lease, cabled.rooms) as found,
        keys.folder(lease, leases_folder) as folder,
        contextlib.ExitStack() as stack,
    ):
        netns = {name: each.netns for name, each in found.items()}
        plan = drawn_up(topology, netns, guests=cabled.guests, queues=kit.guests.tap_queues)
        hosts: dict[str, Host] = dict(found)
        stood.run_steps(plan, hosts, HINT, of=found.__contains__)
        for command in cables(cabled.patched, kit.guests.tap_queues):
            found[PATCH].run(command).require("cables between guests need tc's ingress, u32 and mirred")
        waiting = [
            stack.enter_context(_started(machine, kit, found[cabled.homes[machine.name]], host_key))
            for machine, host_key in _machines(cabled, kit, (folder, site), topology.mtu)
        ]
        for guest in waiting:
            guest.wait()
        for guest in waiting:
            hosts[guest.machine.name] = stack.enter_context(guest.reached(folder / "client"))
        furnish = functools.partial(_furnished, topology, plan, hosts)
        furnish(cabled.guests)
        machine = next(iter(found.values()))
        failing = {**of_pairs(plan, found), **patched(
            plan, cabled, found.get(PATCH), site.there(folder), dial=machine.dial_file)}  # fmt: skip
        lab = stood.lab_of(topology, plan, hosts, machine=machine, cables=failing)
        files = tuple(str(each.machine.pid_file) for each in waiting if each.machine.pid_file)
        lab = replace(lab, namespaces=frozenset(found), pid_files=files)
        stood.check(lab, within_s=_UP_S)
        yield _restartable(lab, kit.guests, waiting, furnish) if kit.guests.settings else lab


def _furnished(topology: Topology, plan: Blueprint, hosts: Mapping[str, Host], guests: Collection[str]) -> None:
    """What a guest that has just come up is given."""
    for name in guests:
        for outcome in hosts[name].run_all((*_BUFFERS, *_CONTROLS)):
            outcome.require()
    for name in guests if topology.tracks else ():
        if name in plan.nodes:  # the first question loads the module, whose sysctls shall be there from the start
            hosts[name].run(Command(("conntrack", "-C")))
    stood.run_steps(plan, hosts, "does the guest's kernel have it?", of=guests.__contains__)


def _restartable(
    lab: Lab, guests: Guests, running: Sequence["_Guest"], furnish: Callable[[Collection[str]], None]
) -> Lab:
    settle = functools.partial(stood.check, lab, within_s=_UP_S)
    startable = {each.machine.name: each for each in running}
    return replace(lab, restarting=Restarting(guests, lab.topology.mtu, startable, furnish=furnish, settle=settle))


@contextlib.contextmanager
def alone(kit: Kit, *, leases_folder: Path, drives: Sequence[Path] = ()) -> Iterator[Ssh]:
    """One guest that is on no path: a machine of its own with Debian's kernel. Raises LabBroken as `standing`."""
    with (
        opened(kit.guests.node) as site,
        leases.held(leases_folder) as lease,
        site.rooms(lease, (PATCH,)) as found,
        keys.folder(lease, leases_folder) as folder,
    ):
        found[PATCH].run(Command(("ip", "link", "set", "lo", "up"))).require(HINT)
        client = keys.client(folder)
        machine, host_key = _seeded(kit, (folder, site), client, ("node", _FIRST_PORT), (), 1500)
        with _started(replace(machine, drives=tuple(drives)), kit, found[PATCH], host_key) as guest:
            guest.wait()
            with guest.reached(folder / "client") as ssh:
                yield ssh


def _machines(cabled: Cabling, kit: Kit, private: tuple[Path, Site], mtu: int) -> Iterator[tuple[Machine, str]]:
    """Each guest about to be started, its seed written, with its public host key."""
    folder, site = private
    client = keys.client(folder)
    for number, name in enumerate(cabled.guests):
        nics = [Cable(nic, mac(name, nic), tap) for nic, tap in cabled.nics(name)]
        machine, host_key = _seeded(kit, private, client, (name, _FIRST_PORT + number), nics, mtu)
        there = site.there(folder)
        yield replace(machine, monitor=monitor(there, name), pid_file=there / f"{name}.pid"), host_key


def _seeded(
    kit: Kit, private: tuple[Path, Site], client: KeyPair, named: tuple[str, int], nics: Sequence[Cable], mtu: int
) -> tuple[Machine, str]:
    """A guest by name and port, its seed written, with its public host key."""
    (folder, site), (name, port) = private, named
    host_key = KeyPair.made()
    told = [f"{machines.CONTROL_MAC} {machines.CONTROL} {machines.CONTROL_ADDRESS}"]
    told += [f"{nic.mac} {nic.name}" for nic in nics]
    image = kit.image
    machine = Machine(name, image.kernel, image.initrd, image.root, CMDLINE, folder / f"{name}.seed", port, tuple(nics),
                      mtu, kit.vhost)  # fmt: skip
    seed(
        machine.seed,
        {
            "etc/hostname": f"{name}\n".encode(),
            "etc/nettune/nics": ("\n".join(told) + "\n").encode(),
            "etc/ssh/ssh_host_ed25519_key": host_key.private,
            "etc/ssh/ssh_host_ed25519_key.pub": f"{host_key.public}\n".encode(),
            "root/.ssh/authorized_keys": f"{client.public}\n".encode(),
        },
    )
    return replace(machine, seed=site.given(machine.seed)), host_key.public


class _Guest:
    """A guest on its way or up: the QEMU process in its namespace."""

    def __init__(self, machine: Machine, kit: Kit, room: Room, pinned: str) -> None:
        self.machine, self.room, self.pinned = machine, room, pinned
        self._accelerator = kit.accelerator
        self._command = machines.command(kit.guests, machine, kit.accelerator)
        self._job: Running = room.start(self._command)

    def begin(self, guests: Guests) -> None:
        """See Startable.begin."""
        self.stop()
        self._command = machines.command(guests, self.machine, self._accelerator)
        self._job = self.room.start(self._command)

    def console(self) -> str:
        """Its last lines, and how QEMU ended where it has."""
        by = time.monotonic() + _ENDED_S
        while not self._job.finished() and time.monotonic() < by:
            time.sleep(0.02)
        shown = self._job.output().replace("\r", "").strip().splitlines()
        lines = shown[-_CONSOLE_LINES:]
        # What a panic is about is said before its registers and calls, which are more lines than are shown.
        lines = [*(each for each in shown[:-_CONSOLE_LINES] if "Kernel panic" in each), *lines]
        if self._job.finished():
            try:
                outcome = self._job.wait()
            except Unreachable:
                gone = f"the SSH connection to {self.room.machine}, where it ran, is lost too"
                return "\n".join([f"the console of guest {self.machine.name}:", *lines, gone])
            lines += [*outcome.stderr.strip().splitlines()[-3:], f"QEMU {ended(outcome.returncode)}"]
        return "\n".join(["the console of guest " + self.machine.name + ":", *(lines or ["nothing"])])

    def wait(self) -> None:
        """Until sshd listens inside; started once more where it ended or hung before. Raises LabBroken."""
        within_s = _BOOT_S[self._accelerator]
        for left in reversed(range(_ATTEMPTS)):
            deadline = time.monotonic() + within_s
            while READY not in self._job.output():
                if self._job.finished() or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            else:
                return
            if not left:
                why = "ended" if self._job.finished() else f"was not ready in {within_s:g} s"
                raise LabBroken(f"guest {self.machine.name} {why}, also at a second start; {self.console()}")
            self.stop()
            self._job = self.room.start(self._command)

    def reached(self, key: Path) -> AbstractContextManager[Ssh]:
        """The guest as a Host."""
        login = Login("127.0.0.1", self.machine.port, keys=(key,), pinned=self.pinned)
        return connected(self.machine.name, login, dial=self.room.dial, last_words=self.console)

    def stop(self) -> None:
        """End QEMU."""
        self._job.stop()


@contextlib.contextmanager
def _started(machine: Machine, kit: Kit, room: Room, pinned: str) -> Iterator[_Guest]:
    guest = _Guest(machine, kit, room, pinned)
    try:
        yield guest
    finally:
        with contextlib.suppress(Unreachable):  # it ends with the connection to its machine
            guest.stop()
