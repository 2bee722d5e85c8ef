"""What one trial would hand on to the next: taken away alike for every arm, only of the endpoints' own addresses."""

from collections.abc import Mapping, Sequence

from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host, ask_everywhere
from bench.labs.lab import Lab

# What its program has closed holds its port for as long as the peer does not answer: one in any of these is not free.
_ENDING = ("time-wait", "fin-wait-1", "fin-wait-2", "closing", "last-ack")


def neutralise(lab: Lab) -> bool:
    """Forget TCP's metrics of the peer and take away sockets that are closing; False where some of those stayed.

    From iperf3 3.16 on the client closes first, and its fixed port (the same for every arm of a block) is taken for a
    minute: "Address already in use". `ss -K` needs CONFIG_INET_DIAG_DESTROY; without it the caller takes other ports.
    """
    return gone(lab, ask_everywhere(questions(lab)))


def questions(lab: Lab) -> dict[Host, tuple[Command, ...]]:
    """What each host is told for that."""
    asked: dict[Host, tuple[Command, ...]] = {
        here.host: tuple(
            command
            for there in lab.endpoints
            if there is not here
            for peer in lab.may_meet(here, there)
            for command in _forgetting(here.address, peer)
        )
        for here in lab.endpoints
    }
    tracked = tuple(
        Command(("conntrack", "-D", "-s", here.address, "-d", lab.reached(here, there)))  # exits with 1 when none was
        for here in lab.endpoints
        for there in lab.endpoints
        if there is not here
    )
    return asked | (dict.fromkeys(lab.nodes, tracked) if lab.topology.tracks else {})


def gone(lab: Lab, answers: Mapping[Host, Sequence[Outcome]]) -> bool:
    """Whether no closing socket stayed, by the answers to `questions`."""
    ends = (answers[each.host] for each in lab.endpoints)
    return not any(left.stdout.strip() for outcomes in ends for left in outcomes[2::3])


def _forgetting(own: str, peer: str) -> tuple[Command, Command, Command]:
    waiting = (*(word for state in _ENDING for word in ("state", state)), "src", own, "dst", peer)
    return (
        Command(("ip", "tcp_metrics", "delete", peer)),  # it exits with 2 when there is no entry: as good
        Command(("ss", "-K", "-t", *waiting)),
        Command(("ss", "-Htn", *waiting)),
    )
