"""Many hosts at once: the time that their servers have, and when all of them are ready."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.host import Host, ask_everywhere

_READY_S, _READY_EACH_S = 5.0, 0.1
_ARMING_S, _ARMING_EACH_S = 10.0, 0.5  # that a command waits for the others, at most


def longer(command: Command, n: int) -> Command:
    """The command with time to wait for `n` others before it begins."""
    return replace(command, deadline_s=command.deadline_s + _ARMING_S + _ARMING_EACH_S * n)


def tcp(port: int) -> Command:
    """Whether somebody listens there: a line for each who does."""
    return Command(("ss", "-Hltn", "sport", "=", f":{port}"))


def udp(port: int) -> Command:
    """The same of UDP."""
    return Command(("ss", "-Hlun", "sport", "=", f":{port}"))


def listening(hosts: Iterable[Host], questions: Sequence[Command], what: str) -> None:
    """Wait until every host has a line for each question. Raises HostFault naming those that don't."""
    silent = f"{what} did not listen"
    awaited(hosts, questions, lambda told: "" if all(each.stdout.strip() for each in told) else silent)


def awaited(hosts: Iterable[Host], questions: Sequence[Command], lacking: Callable[[Sequence[Outcome]], str]) -> None:
    """Wait until nothing is `lacking`, in words, by any host's answers. Raises HostFault naming hosts where it is."""
    waiting = list(hosts)
    seconds = _READY_S + _READY_EACH_S * len(waiting)
    deadline = time.monotonic() + seconds
    while waiting:
        told = ask_everywhere(dict.fromkeys(waiting, tuple(questions)))
        missing = {host: words for host in waiting if (words := lacking(told[host]))}
        waiting = list(missing)
        if waiting and time.monotonic() > deadline:
            names = ", ".join(host.name for host in waiting[:4])
            raise HostFault(f"on {names}: {missing[waiting[0]]} in {seconds:g} s")
        if waiting:
            time.sleep(0.02)
