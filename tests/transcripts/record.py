"""Records the transcripts beside it on a real kernel: `sudo python -m tests.transcripts.record`. Takes 6 s."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.facts import counters, state
from bench.hosts.command import Command, Overdue
from bench.hosts.host import Running
from bench.hosts.recorded import Recorder
from bench.labs import namespaces
from bench.labs.lab import Lab
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.irtt import Latency
from bench.probes.probe import Pair, serving

HERE = Path(__file__).parent
PORTS = (20123, 30456)
FORWARD = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0)
BOTH = Tcp("tcp", 0.8, 0.2, 1, "both", "reno", 0)
REVERSE = Tcp("tcp", 0.8, 0.2, 2, "reverse", "reno", 0)
PACED = Latency("latency", 0.06, 0.001, 60)


def main() -> None:
    """Every transcript, from a bridge between two namespaces."""
    with (
        tempfile.TemporaryDirectory() as folder,
        namespaces.standing(Topology("bridge"), leases_folder=Path(folder)) as lab,
    ):
        node = lab.nodes[0]
        for name, host, devices in (("end", lab.a.host, ("eth0",)), ("bridge", node, ("port-a", "br0", "port-b"))):
            recorder = Recorder(host)
            for question in state.questions(devices, bridges=name == "bridge"):
                recorder.run(question)
            recorder.run(counters.QUESTION)
            recorder.save(HERE / "state" / f"{name}.json")
        pair = Pair(lab.a, lab.b, *PORTS)
        _iperf3(FORWARD, pair, "forward")
        _iperf3(REVERSE, pair, "reverse-two-streams")
        _iperf3(BOTH, pair, "both-ways")
        _iperf3_server_killed(pair)
        _alone(lab, FORWARD.client_command(pair), HERE / "iperf3" / "refused.json")
        _irtt(pair)


def _iperf3(probe: Tcp, pair: Pair, name: str) -> None:
    recorder = Recorder(pair.client.host)
    with _server(pair, "tcp") as server:
        recorder.run(probe.client_command(pair))
        recorder._keep(server.wait())
    recorder.save(HERE / "iperf3" / f"{name}.json")


def _iperf3_server_killed(pair: Pair) -> None:
    recorder = Recorder(pair.client.host)
    with _server(pair, "tcp") as server, pair.client.host.start(FORWARD.client_command(pair)) as client:
        time.sleep(0.5)
        ended = server.stop()
        recorder._keep(client.wait())
        recorder._keep(ended)
    recorder.save(HERE / "iperf3" / "server-killed.json")


def _irtt(pair: Pair) -> None:
    recorder = Recorder(pair.client.host)
    command = Command(("irtt", "server", "-i", "1ms", "-b", f"{pair.server.address}:{pair.server_port}"))
    with serving(pair.server.host, command, port=pair.server_port, protocol="udp"):
        recorder.run(PACED.client_command(pair))
    recorder.save(HERE / "irtt" / "paced.json")


def _alone(lab: Lab, command: Command, path: Path) -> None:
    recorder = Recorder(lab.a.host)
    with contextlib.suppress(Overdue):
        recorder.run(command)
    recorder.save(path)


@contextlib.contextmanager
def _server(pair: Pair, protocol: str) -> Iterator[Running]:
    command = Command(
        ("iperf3", "--server", "--one-off", "--json", "--interval", "0.1", "--bind", pair.server.address,
         "--port", str(pair.server_port))
    )  # fmt: skip
    with serving(pair.server.host, command, port=pair.server_port, protocol=protocol) as server:
        yield server


if __name__ == "__main__":
    main()
