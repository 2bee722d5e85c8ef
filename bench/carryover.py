"""What one trial would hand on to the next: taken away alike for every arm, only of the endpoints' own addresses."""

from bench.hosts.command import Command
from bench.hosts.host import ask_everywhere
from bench.labs.lab import Lab


def neutralise(lab: Lab) -> bool:
    """Forget TCP's metrics of the peer and close sockets in TIME-WAIT; False where some of those stayed.

    From iperf3 3.16 on the client closes first, and its fixed port (the same for every arm of a block) is taken for a
    minute: "Address already in use". `ss -K` needs CONFIG_INET_DIAG_DESTROY; without it the caller takes other ports.
    """
    pairs = ((lab.a, lab.b), (lab.b, lab.a))
    waiting = {here.host: ("state", "time-wait", "src", here.address, "dst", there.address) for here, there in pairs}
    asked = {
        here.host: (
            Command(("ip", "tcp_metrics", "delete", there.address)),  # it exits with 2 when there is no entry: as good
            Command(("ss", "-K", "-t", *waiting[here.host])),
            Command(("ss", "-Htn", *waiting[here.host])),
        )
        for here, there in pairs
    }
    answers = ask_everywhere(asked)
    return not any(left.stdout.strip() for _, _, left in answers.values())
