"""Records the transcripts beside it on a real kernel: `sudo python -m tests.transcripts.record`. Takes 25 s."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.facts import counters, state
from bench.hosts.command import Command, Outcome, Overdue
from bench.hosts.host import Running
from bench.hosts.recorded import Recorder
from bench.labs import namespaces
from bench.labs.lab import Lab
from bench.labs.topology import Topology
from bench.probes.failover import Failover
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from bench.probes.load import Load, running
from bench.probes.probe import Pair, serving
from bench.probes.requests import Requests
from bench.probes.sweep import ping
from bench.probes.udp import Udp

HERE = Path(__file__).parent
PORTS = (20123, 30456)
FORWARD = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0)
BOTH = Tcp("tcp", 0.8, 0.2, 1, "both", "reno", 0)
REVERSE = Tcp("tcp", 0.8, 0.2, 2, "reverse", "reno", 0)
PACED = Latency("latency", 0.06, 0.001, 60)
LONG = Latency("latency", 5.0, 0.02, 60, tool="sockperf")
LIMITED = Udp("udp", 100, 1400, 0.8, 0.2, "forward")
LIMIT = ("tc", "qdisc", "replace", "dev", "port-b", "root", "tbf", "rate", "50mbit", "burst", "20kb", "limit", "30kb")
LOSSY = """\
table inet lossy {
  chain arriving {
    type filter hook input priority 0
    udp dport %d numgen random mod 10 < %d drop
  }
}
"""
RR = Requests("rr", "rr", 1, 2, 1)
CRR = Requests("crr", "crr", 1, 4, 2)
LOAD = Load(50, "tcp.goodput", "arm", "tcp", ("a", "b"), "reno")


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
        _cut(lab, pair)
        _sockperf(pair)
        _requests(pair)
        _load(pair)
        _udp(lab, pair)  # last: it leaves a queue
    _pings()


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
        recorder.run(PACED.commands(pair)[1][1])
    recorder.save(HERE / "irtt" / "paced.json")


def _cut(lab: Lab, pair: Pair) -> None:
    """A packet every 10 ms, and a fifth of a second in which both ways are silent: the client's Outcome."""
    recorder = Recorder(pair.client.host)
    argv = Failover("failover", "silent", 1, 0.2, 0.2, 1.0).client(pair).argv
    slow = {"-i": "10ms", "-d": "600ms"}
    client = Command(tuple(slow.get(before, word) for before, word in zip(("", *argv), argv, strict=False)))
    server = Command(("irtt", "server", "-i", "0s", "-b", f"{pair.server.address}:{pair.server_port}"))
    serves = serving(pair.server.host, server, port=pair.server_port, protocol="udp")
    with serves, pair.client.host.start(client) as job:
        time.sleep(0.25)
        with lab.cables["a", "eth0"].broken("silent"):
            time.sleep(0.2)
        recorder._keep(job.wait())
    recorder.save(HERE / "irtt" / "cut.json")


def _pings() -> None:
    """1500 and 1400 bytes, in both families, to an end behind a router's port of 1400; the third time it is known."""
    with (
        tempfile.TemporaryDirectory() as folder,
        namespaces.standing(Topology("routed"), leases_folder=Path(folder)) as lab,
    ):
        lab.nodes[0].run(Command(("ip", "link", "set", "port-b", "mtu", "1400"))).require()
        recorder = Recorder(lab.a.host)
        for address, family in ((lab.b.address, 4), ("2001:2:0:8000::1", 6)):
            for size_bytes in (1500, 1400, 1500):
                recorder.run(ping(address, size_bytes, family))
        lab.b.host.run(Command(("ip", "link", "set", "eth0", "down"))).require()
        recorder.run(ping(lab.b.address, 600, 4))
    recorder.save(HERE / "ping" / "sizes.json")


def _sockperf(pair: Pair) -> None:
    """A train without loss, one of which every tenth packet or so is dropped, and one with nobody to answer."""
    (_, server), (_, client) = LONG.commands(pair)
    for name, share in (("whole", 0), ("every-tenth-lost", 1)):
        pair.server.host.run(Command(("nft", "-f", "-"), stdin=LOSSY % (pair.server_port, share))).require()
        recorder = Recorder(pair.client.host)
        with serving(pair.server.host, server, port=pair.server_port, protocol="udp"):
            recorder.run(client)
        recorder.save(HERE / "sockperf" / f"{name}.json")
        pair.server.host.run(Command(("nft", "flush", "ruleset"))).require()
    recorder = Recorder(pair.client.host)
    recorder.run(client)
    recorder.save(HERE / "sockperf" / "nobody.json")


def _requests(pair: Pair) -> None:
    for probe in (RR, CRR):
        (_, server), (_, client) = probe.commands(pair)
        recorder = Recorder(pair.client.host)
        with serving(pair.server.host, server, port=pair.server_port, protocol="tcp"):
            recorder.run(client)
        recorder.save(HERE / "wrk" / f"{probe.kind}.json")
    recorder = Recorder(pair.client.host)
    recorder.run(client)
    recorder.save(HERE / "wrk" / "refused.json")


def _load(pair: Pair) -> None:
    """Half of 2 Gbit/s, stopped after a second; the server's Outcome."""
    recorder = Recorder(pair.server.host)
    with running(LOAD, replace(pair, known={"tcp.goodput": 2e9}), 1.0) as beside:
        time.sleep(0.5)
    recorder._keep(Outcome(Command(("iperf3",)), "b", 0, beside.server, "", 0.0))
    recorder.save(HERE / "iperf3" / "load-stopped.json")


def _udp(lab: Lab, pair: Pair) -> None:
    """100 Mbit/s offered to a queue of 50, with the counters of both ends and of the node around it."""
    lab.nodes[0].run(Command(LIMIT)).require()
    recorder = Recorder(pair.client.host)
    queues = Recorder(lab.nodes[0])
    queues.run(counters.QUEUES)
    with _server(pair, "tcp") as server:
        recorder.run(LIMITED.client_command(pair))
        recorder._keep(server.wait())
    queues.run(counters.QUEUES)
    recorder.save(HERE / "iperf3" / "udp-limited.json")
    queues.save(HERE / "state" / "queues.json")


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
