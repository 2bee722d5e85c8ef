"""Runs all cases between two ends, with python3 there, and gives what both said."""

import contextlib
import functools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bench.hosts.command import Command, Overdue
from bench.hosts.host import Host, Running
from bench.probes.probe import checked_version
from results.errors import NotAble
from tuning.offload import cases
from tuning.offload.cases import Case, Result
from tuning.offload.over import ADDRESSES, Over
from tuning.offload.remote import BUSY

TOOL = Command(("python3", "--version"))
PYTHON = (3, 9)  # the least that the program runs on
_JOINED = re.compile(r"^from (?:__future__|tuning\.offload\.\w+) import (?:\([^)]*\)|[^\n]*)\n", re.MULTILINE)
_DRAWS = 5  # of ports, and one more: with 26 of 12,000 each a hundred that are taken leave four draws in five whole
_PARTS = ("wire", "datagrams", "spread", "remote")


@dataclass(frozen=True, slots=True)
class End:
    """One end: where it runs, its NIC, its addresses by family, and the MAC that its frames go to."""

    host: Host
    device: str
    addresses: Mapping[int, str]
    mac: str


class NoExchange(NotAble):
    """The program at an end did not run."""


class _PortTaken(NoExchange):
    """One of the ports that were drawn is another's."""


def check(ends: Sequence[End]) -> None:
    """Raise HostFault where an end lacks python3, NotAble where it is too old for the program."""
    for end in ends:
        told = checked_version(end.host, TOOL)
        found = re.match(r"Python (\d+)\.(\d+)", told)
        if found and (int(found[1]), int(found[2])) < PYTHON:
            raise NotAble(
                f"on {end.host.name}: {told} is too old for the exchange", hint="python3 of 3.9 or later, first in PATH"
            )


@functools.cache
def program() -> str:
    """The text that both ends run."""
    folder = files("tuning.offload")
    first, *others = (folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in _PARTS)
    return first + "".join(_JOINED.sub("", each) for each in others)


def command(role: str, order: Mapping[str, Any], wrapped: Sequence[str] = ()) -> Command:  # Any: JSON
    """One end's part of an order; `wrapped` is the command that the program is a part of, where it is one."""
    argv = tuple(wrapped) or ("python3", "-IS", "-c", program(), role)
    return Command(argv, stdin=json.dumps(order), deadline_s=order["limit_s"] + cases.START_S, loads=True)


def run(client: End, server: End, listed: Sequence[Case], mtu: int, seed: int) -> tuple[Result, ...]:
    """All cases in order. Raises NoExchange where the program could not run; what the path did is in the results.

    Ports are drawn again where somebody at the server listens on one of them.
    """
    for turn in range(_DRAWS):
        with contextlib.suppress(_PortTaken):
            return _run(client, server, listed, mtu, seed + turn)
    return _run(client, server, listed, mtu, seed + _DRAWS)


def _run(client: End, server: End, listed: Sequence[Case], mtu: int, seed: int) -> tuple[Result, ...]:
    told = cases.order(
        listed,
        {
            family: (client.addresses[family], server.addresses[family])
            for family in client.addresses
            if family in server.addresses
        },
        (client.mac, server.mac),
        (client.device, server.device),
        mtu,
        seed,
    )
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(server.host.start(command("serve", told)))
        driving = stack.enter_context(client.host.start(command("drive", told)))
        _until_ready(server.host, serving)
        return _both(client.host, serving, driving, listed)


def run_through(
    over: Over, client: End, server: End, listed: Sequence[Case], mtu: int, seed: int, *, load: bool
) -> tuple[Result, ...]:
    """The same through what stands upon both NICs meanwhile; `load`: its module may be loaded. Raises NoExchange."""
    told = cases.order(listed, ADDRESSES, (client.mac, server.mac), (client.device, server.device), mtu, seed)
    here, there = (end.addresses.get(over.around, "") for end in (client, server))
    ends = {"drive": (client.device, here, there), "serve": (server.device, there, here)}
    families = sorted({each.family for each in listed})
    wrapped = {
        role: command(role, told, over.argv(role, program(), each, mtu=mtu, families=families, load=load))
        for role, each in ends.items()
    }
    with server.host.start(wrapped["serve"]) as serving:
        _until_ready(server.host, serving, "")
        with client.host.start(wrapped["drive"]) as driving:
            return _both(client.host, serving, driving, listed)


def _both(host: Host, serving: Running, driving: Running, listed: Sequence[Case]) -> tuple[Result, ...]:
    """What both said, once the one that drives has ended."""
    try:
        driven = driving.wait()
    except Overdue as error:
        driven = error.outcome
    if not driven.stdout:
        raise NoExchange(f"on {host.name}: python3 ended without a word: {driven.stderr.strip()[-300:]}")
    rows = _rows(driven.stdout)
    _until_said(serving, len([each for each in rows if "error" not in each and "skipped" not in each]))
    return cases.results(listed, rows, _rows(serving.stop().stdout))


def _until_ready(host: Host, serving: Running, what: str = "python3 does not serve: ") -> None:
    deadline = time.monotonic() + cases.START_S
    while "ready\n" not in serving.output():
        if serving.finished() or time.monotonic() > deadline:
            said = serving.stop().stderr.strip()[-300:]
            raise (_PortTaken if BUSY in said else NoExchange)(
                f"on {host.name}: {what}{said or 'no answer'}",
                hint="it needs root there, and ports of 20000 to 31999",
            )
        time.sleep(0.01)


def _until_said(serving: Running, expected: int) -> None:
    """The server's threads tell each case when it is over; that of a broken one ends by its own time limit."""
    deadline = time.monotonic() + cases.SAYS_S
    while len(_rows(serving.output())) < expected and not serving.finished() and time.monotonic() < deadline:
        time.sleep(0.01)


def _rows(text: str) -> list[Mapping[str, Any]]:  # Any: JSON
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
