"""`nettune offload validate` as its users run it, and what it says where nothing can be validated."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET  # our own file is read

import pytest

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.hosts.host import Running
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.path_mtu import addresses
from results.errors import NotAble
from tests.netns.nettune_command import nettune, start
from tests.netns.standing_hosts import CONTROL, Machines, guards, tso, waited
from tuning.journal import kept
from tuning.offload import bitmaps, cases, exchange, inventory
from tuning.offload.document import failed
from tuning.offload.evidence import Level, Validation
from tuning.offload.exchange import End
from tuning.offload.over import ADDRESSES, OVERS
from tuning.offload.validating import Wanted, concluded, left, observe

TUNNEL = "tx-udp_tnl-segmentation"
QUICK = ("--levels", "1,2,3,4,7", "--features", "tso", "--seed", "4")


def test_a_pair_is_validated_and_told_on_the_screen_and_in_files(state: Path, tmp_path: Path) -> None:
    """Exit code 0; JSON, HTML and JUnit say the same; nothing is left."""
    done = nettune("offload", "validate", *QUICK, "--require", "tso", "--out", str(tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "offload.json").read_text(encoding="utf-8"))
    verdicts = {(row["feature"], row["direction"]): row["verdict"] for row in found["features"]}
    cases = ET.parse(tmp_path / "out" / "offload.xml").getroot().iter("testcase")  # noqa: S314 - our own file
    page = (tmp_path / "out" / "offload.html").read_text(encoding="utf-8")

    assert done.returncode == 0, done.stderr
    assert "the validation holds" in done.stdout
    assert verdicts["tx-tcp-segmentation", "tx"] == "works"
    assert (verdicts["payload", "tx"], verdicts["payload", "rx"]) == ("works", "works")
    assert found["nic"]["identity"]["driver"] == "veth"
    assert found["failed"] == []
    assert "tx-tcp-segmentation tx" in {case.get("name") for case in cases}
    assert "The validation holds." in page
    assert "http" not in page.partition("</style>")[2].replace("https://lkml", "")
    assert list((state / "journals").glob("*")) == []


def test_a_required_feature_that_is_not_there_fails(state: Path) -> None:
    """Veth has no LRO: exit code 1, and why."""
    done = nettune("offload", "validate", "--levels", "1,2", "--features", "lro", "--require", "lro", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == ["rx-lro is required: not present"]


def test_what_features_are_worth_is_an_ordinary_run(state: Path) -> None:
    """Without TSO goodput falls by far: the feature helps, and the run is in the store."""
    done = nettune("offload", "validate", "--levels", "3,4,5", "--features", "tso", "--json",
                   "--set", "tcp.duration_s=0.5", "--set", "blocks=4")  # fmt: skip
    found = json.loads(done.stdout)
    row = next(row for row in found["features"] if row["feature"] == "tx-tcp-segmentation")
    runs = json.loads(nettune("runs", "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert (row["verdict"], [each["run_id"] for each in runs]) == ("works and helps", [found["run_id"]])


def test_negotiation_alone_is_of_every_feature(state: Path) -> None:
    """Also of those whose ground is another than the pair as found; nothing is exchanged."""
    done = nettune("offload", "validate", "--levels", "1,2,7", "--json")
    found = json.loads(done.stdout)

    assert (done.returncode, found["failed"]) == (0, []), done.stderr
    assert {"rx-gro", "rx-checksum", "tx-tcp-segmentation"} <= {row["feature"] for row in found["features"]}
    assert {each["level"]: each["outcome"] for each in found["levels"]}["function"] == "not asked"


@pytest.mark.sampled(0)
@pytest.mark.parametrize("turn", range(5))
def test_a_whole_validation_of_a_clean_pair_says_nothing_wrong(state: Path, tmp_path: Path, turn: int) -> None:
    """All seven levels with a soak; `make bench` alone, as each takes minutes."""
    done = nettune("offload", "validate", "--seed", str(turn), "--soak", "10s", "--json")
    found = json.loads(done.stdout)
    verdicts = {row["feature"]: row["verdict"] for row in found["features"]}

    assert (done.returncode, found["failed"]) == (0, []), done.stderr
    assert {each["level"]: each["outcome"] for each in found["levels"]} == {
        "inventory": "ok", "negotiation": "ok", "function": "ok", "engaged": "ok", "benefit": "ok", "stability": "ok",
        "restored": "ok",
    }  # fmt: skip
    assert verdicts["tx-tcp-segmentation"] == "works and helps"


@pytest.fixture
def lab(state: Path) -> Iterator[Lab]:
    """Two ends on one cable; afterwards they are as they were when the test had spoilt them."""
    with standing(Topology("direct"), leases_folder=state) as found:
        yield found


def _ip(lab: Lab, end: int, *words: str) -> None:
    lab.endpoints[end].host.run(Command(("ip", *words))).require()


def _hidden(lab: Lab) -> None:
    """No python3 at b."""
    script = 'which -a python3 | while read -r each; do mount --bind /dev/null "$each"; done'
    lab.b.host.run(Command(("sh", "-c", script))).require()


def _aged(lab: Lab) -> None:
    """A python3 at b that is too old."""
    script = """\
printf '#!/bin/sh\\n[ "$1" = --version ] && echo Python 3.6.8\\n' >/run/python3 && chmod +x /run/python3
which -a python3 | while read -r each; do mount --bind /run/python3 "$each"; done"""
    lab.b.host.run(Command(("sh", "-c", f"mount -t tmpfs none /run && {script}"))).require()


def _settled(lab: Lab) -> Sheets:
    """The state once nothing moves any more: a carrier's loss is told a moment later."""
    before = lab.read()
    while True:
        time.sleep(0.3)
        if not differences(before, now := lab.read()):
            return now
        before = now


def _blocked(lab: Lab) -> None:
    """Nothing of a's comes through at b."""
    rules = "table inet t { chain c { type filter hook input priority 0; policy drop; }; }"
    lab.b.host.run(Command(("nft", "-f", "-"), stdin=rules)).require()


SPOILT: dict[str, tuple[Callable[[Lab], None], str]] = {
    "the NIC is down": (lambda lab: _ip(lab, 0, "link", "set", "eth0", "down"), "on a: eth0 is down"),
    "no carrier": (lambda lab: _ip(lab, 1, "link", "set", "eth0", "down"), "on a: eth0 has no carrier"),
    "no partner": (lambda lab: _ip(lab, 1, "addr", "flush", "dev", "eth0"), "on b: eth0 has not got the address"),
    "a partner that is silent": (_blocked, "nothing passes between a.eth0 and b.eth0"),
    "another MTU": (lambda lab: _ip(lab, 1, "link", "set", "eth0", "mtu", "1400"), "the ends' MTUs differ"),
    "no python3": (_hidden, "on b: python3 is needed and not there"),
    "a python3 that is too old": (_aged, "on b: Python 3.6.8 is too old"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_where_nothing_can_be_validated_that_is_said_and_nothing_is_changed(
    lab: Lab, tmp_path: Path, spoil: Callable[[Lab], None], said: str
) -> None:
    """One error, which names the end; both ends are exactly as they were found."""
    spoil(lab)
    before = _settled(lab)
    with kept(tmp_path / "j.jsonl") as journal, pytest.raises(NotAble) as caught:
        observe(lab, Wanted(features=("tx-tcp-segmentation",)), journal)

    assert said in str(caught.value)
    assert caught.value.hint
    assert differences(before, lab.read()) == ()
    assert not (tmp_path / "j.jsonl").exists()


def test_a_path_that_swallows_packets_of_the_ends_mtu_is_told(state: Path, tmp_path: Path) -> None:
    """Both ends have jumbo frames and the bridge between has not: the size that vanishes; nothing is toggled."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        for number in (0, 1):
            _ip(lab, number, "link", "set", "eth0", "mtu", "9000")
        before = _settled(lab)
        with kept(tmp_path / "j.jsonl") as journal, pytest.raises(NotAble) as caught:
            observe(lab, Wanted(features=("tx-tcp-segmentation",)), journal)

        assert differences(before, lab.read()) == ()
    assert "packets of 9000 bytes, the ends' MTU, do not pass between a.eth0 and b.eth0" in str(caught.value)
    assert "ip link set eth0 mtu 1500" in caught.value.hint


def test_a_port_that_is_another_s_at_the_other_end_is_drawn_again(lab: Lab) -> None:
    """Somebody listens there on every port that the first draws would take: the exchange goes by others."""
    listed = cases.of(100_000, families=(4,), raw=False)
    ends = [End(end.host, end.device, {4: end.address}, "") for end in (lab.a, lab.b)]
    drawn = [
        cases.order(listed, {4: (lab.a.address, lab.b.address)}, ("", ""), ("", ""), 1500, seed)["cases"]
        for seed in (7, 8, 9)
    ]
    taken = sorted({str(each["port"]) for case in drawn for each in case})
    script = """\
import socket, sys, time
doors = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
print("ready", flush=True)
time.sleep(60)"""
    with lab.b.host.start(Command(("python3", "-c", script, *taken), deadline_s=60)) as job:
        waited(lambda: "ready" in job.output() or job.finished(), 20)
        results = exchange.run(ends[0], ends[1], listed, 1500, 7)
        job.stop()

    assert {cases.judged(each)[0] for each in results} == {"ok"}


def test_between_ends_that_have_ipv6_alone_payload_passes(lab: Lab) -> None:
    """Tagged frames too, which need no address."""
    sheets = lab.read()
    ends = [
        End(end.host, end.device, {6: next(each for each, family in addresses(sheets, end.host.name, end.device)
                                           if family == 6)},
            sheets[end.host.name].facts[f"link/{end.device}/address"])
        for end in (lab.a, lab.b)
    ]  # fmt: skip
    results = exchange.run(ends[0], ends[1], cases.of(100_000, families=(6,), raw=True), 1500, 1)

    assert {(each.case.kind, cases.judged(each)[0]) for each in results} == {
        ("tcp", "ok"), ("udp", "ok"), ("gso", "ok"), ("tagged", "ok")}  # fmt: skip


def test_what_stands_on_a_nic_ends_with_its_exchange(lab: Lab) -> None:
    """It is never seen beside the NIC; killed, it is gone, and the next one stands."""
    order = cases.order(cases.through("vxlan", 1000, (4, 6)), ADDRESSES, ("", ""), ("eth0", "eth0"), 1500, 1)
    argv = OVERS["vxlan"].argv(
        "serve", exchange.program(), ("eth0", lab.a.address, lab.b.address), mtu=1500, families=(4, 6), load=False
    )
    links = []
    for _ in range(2):
        with lab.a.host.start(Command(argv, stdin=json.dumps(order), deadline_s=60)) as job:
            waited(lambda job=job: "ready" in job.output() or job.finished(), 20)  # type: ignore[misc] # of a lambda
            links += [job.finished(), lab.a.host.run(Command(("ip", "-br", "link"))).stdout]
            job.stop()
    links.append(lab.a.host.run(Command(("ip", "-br", "link"))).stdout)

    assert (links[0], links[2]) == (False, False)
    assert "ntup" not in "".join(map(str, links))


def test_a_device_s_bitmaps_are_the_kernel_s_own(lab: Lab) -> None:
    """Read from this very kernel: they agree with what ethtool prints, and a toggle moves active and wanted."""
    host = lab.a.host
    nic = inventory.asked(host, "eth0")
    host.run(Command(("ethtool", "-K", "eth0", "tx-tcp-segmentation", "off"))).require()
    moved = bitmaps.moved(nic.bits, bitmaps.asked(host, "eth0")[0])
    host.run(Command(("ethtool", "-K", "eth0", "tx-tcp-segmentation", "on"))).require()

    assert (nic.unread, set(nic.bits)) == ("", set(bitmaps.NAMES))
    assert set(nic.bits["active"]) == {name for name, value in nic.features.items() if value.startswith("on")}
    assert set(nic.bits["hw"]) - set(nic.bits["nochange"]) >= set(nic.free)
    assert "-tx-tcp-segmentation" in moved["active"]
    assert moved["wanted"] == ("-tx-tcp-segmentation",)


def _lost(lab: Lab, folder: Path, say: Callable[[str], None], levels: frozenset[Level]) -> Validation:
    """What is said of a pair that loses its link for good in the middle of two toggles; a's features are put back."""
    before = lab.read()["a"].of("feature/")
    features = ("tx-tcp-segmentation", "tx-scatter-gather")
    with kept(folder / "j.jsonl") as journal:
        wanted = Wanted(levels=levels, features=features, bulk_bytes=1_000_000)
        found = concluded(observe(lab, wanted, journal, say=say), {})
    (restored,) = [each for each in found.levels if each.level == "restored"]

    assert lab.read()["a"].of("feature/") == before
    assert (restored.outcome, "lost its link in mid-test" in " ".join(restored.evidence)) == ("failed", True)
    assert [each.arm for each in found.toggles if each.outcome == "not tried"] == ["tx-scatter-gather off"]
    assert failed(found, ())
    return found


@pytest.mark.sampled(1, "lost")
def test_a_link_that_a_toggle_takes_for_good_is_named_with_it(lab: Lab, tmp_path: Path) -> None:
    """B's end goes down with TSO of a: the toggle hangs, whatever levels are asked for, and no other is tried."""

    def cut(arm: str) -> None:
        if arm == "tx-tcp-segmentation off":
            _ip(lab, 1, "link", "set", "eth0", "down")

    found = _lost(lab, tmp_path, cut, frozenset({"negotiation", "function"}))

    assert {row.feature: row.verdict for row in found.features}["tx-tcp-segmentation"] == "hangs"


def test_a_link_that_is_lost_before_anything_is_toggled_is_told(lab: Lab, tmp_path: Path) -> None:
    """There is nothing to say of any feature: one error."""
    with kept(tmp_path / "j.jsonl") as journal, pytest.raises(NotAble, match="lost its link in mid-test") as caught:
        observe(lab, Wanted(bulk_bytes=1_000_000), journal, say=lambda _: _ip(lab, 1, "link", "set", "eth0", "down"))

    assert "nothing was toggled yet" in caught.value.hint


@pytest.mark.sampled(1, "lost")
def test_a_link_that_is_lost_in_mid_exchange_is_told_and_blamed_on_nobody(lab: Lab, tmp_path: Path) -> None:
    """While payload is under way with TSO of a off; nothing is exchanged again."""
    cuts: list[Running] = []

    def cut(arm: str) -> None:
        if arm == "tx-tcp-segmentation off":
            script = (
                "while ! ss -Htn state established '( sport >= :20000 and sport < :32000 )' | grep -q .; do :; done"
            )
            cuts.append(lab.b.host.start(Command(("sh", "-c", f"{script}; ip link set eth0 down"), deadline_s=30)))

    found = _lost(lab, tmp_path, cut, frozenset({"function", "engaged", "restored"}))
    ended = [job.wait().returncode for job in cuts]

    assert ended == [0]
    assert {row.feature: row.verdict for row in found.features}["tx-tcp-segmentation"] == "can't be judged here"


def test_after_a_sigkill_nothing_of_a_lab_is_left_once_it_is_reaped(state: Path) -> None:
    """Killed in mid-toggle; the namespaces go with `lab reap`."""
    job = start("offload", "validate", *QUICK)
    assert job.stderr is not None
    for line in job.stderr:
        if "tx-tcp-segmentation off" in line:
            break
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    job.stderr.close()
    assert job.stdout is not None
    job.stdout.close()

    assert nettune("lab", "reap").returncode == 0
    assert list((state / "leases").glob("*.jsonl")) == []


def test_a_machine_that_stands_puts_its_nic_back_after_a_sigkill(machines: Machines, state: Path) -> None:
    """TSO is off when nettune is killed; the machine's own guard restores it, and all else is as it was."""
    before = machines.facts()
    job = start("offload", "validate", "--inventory", str(machines.inventory()), "--set", "lab.grace_s=1",
                "--levels", "2", "--features", "tso", prefix=machines.prefix)  # fmt: skip
    try:
        waited(lambda: tso(machines.a) == "off" or job.poll() is not None, 30)
        os.killpg(job.pid, signal.SIGKILL)
        out, err = job.communicate()
        assert tso(machines.a) == "off", out + err
        waited(lambda: tso(machines.a) == "on", 40)
        waited(lambda: differences(before, machines.facts()) == (), 5)
    finally:
        time.sleep(0.2)
        machines.a.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))

    assert guards(machines.b) == []


def test_machines_that_stand_are_validated_over_ssh(machines: Machines, state: Path) -> None:
    """Both ends by their machines' names, tunnels too; every toggle was guarded, and no guard and no device is left."""
    before = machines.facts()
    named = f"{CONTROL['b']}.eth0,{CONTROL['a']}.eth0"
    done = nettune("offload", "validate", "--inventory", str(machines.inventory()), *QUICK,
                   "--pair", named, "--nic", CONTROL["b"], "--features", f"tso,{TUNNEL}", "--json",
                   prefix=machines.prefix)  # fmt: skip

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    verdicts = {row["feature"]: row["verdict"] for row in found["features"]}
    assert (found["nic"]["host"], found["partner"]["host"]) == ("b", "a")
    assert (verdicts["tx-tcp-segmentation"], verdicts[TUNNEL]) == ("works", "works")
    assert differences(before, machines.facts()) == ()
    assert [guards(host) for host in machines.both] == [[], []]


def test_what_is_moved_after_the_levels_is_told_too(lab: Lab, tmp_path: Path) -> None:
    """Benefit is a run of its own, after which the NIC is read once more."""
    with kept(tmp_path / "journal.jsonl") as journal:
        seen = observe(lab, Wanted(levels=frozenset({"inventory", "restored"})), journal)
    assert (seen.left, left(lab, seen)) == ((), ())

    lab.a.host.run(Command(("ip", "link", "set", seen.nic.device, "txqueuelen", "777")))

    assert [words for words in left(lab, seen) if "777" in words]


@pytest.mark.sampled(0)
def test_benefit_of_machines_that_stand_is_followed_by_a_look_at_them(machines: Machines, state: Path) -> None:
    """What a feature is worth is measured over SSH; the level `restored` is of after it."""
    before = machines.facts()
    done = nettune("offload", "validate", "--inventory", str(machines.inventory()), "--levels", "5,7",
                   "--features", "tso", "--set", "tcp.duration_s=0.3", "--set", "blocks=4", "--json",
                   prefix=machines.prefix)  # fmt: skip
    found = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert found["run_id"]
    assert {each["level"]: each["outcome"] for each in found["levels"]}["restored"] == "ok"
    assert differences(before, machines.facts()) == ()


def test_a_nic_that_carries_our_ssh_is_refused_without_a_console(machines: Machines, state: Path) -> None:
    """The way to the machine goes over it: nothing is toggled; what only reads is not refused."""
    inventory = str(machines.inventory(device="mgmt0", address="203.0.113.1"))
    machines.rewrite({"device: eth0": "device: mgmt0", "address: 192.0.2.2": "address: 203.0.113.2"})
    asked = ("offload", "validate", "--inventory", inventory, "--features", "tso", "--levels")
    refused = nettune(*asked, "2", prefix=machines.prefix)
    read = nettune(*asked, "1,7", "--json", prefix=machines.prefix)

    assert (refused.returncode, "ssh" in refused.stderr.lower()) == (3, True)
    assert "--i-have-a-console" in refused.stderr
    assert (read.returncode, json.loads(read.stdout)["failed"]) == (0, []), read.stderr


def test_with_a_console_the_same_nic_is_toggled_and_put_back(machines: Machines, state: Path) -> None:
    """Our SSH goes over it all the while."""
    inventory = str(machines.inventory(device="mgmt0", address="203.0.113.1"))
    machines.rewrite({"device: eth0": "device: mgmt0", "address: 192.0.2.2": "address: 203.0.113.2"})
    machines.rewrite({"device: mgmt0": "device: mgmt0\n    speed_mbps: 10000"})  # a veth's own word is not trusted
    before = machines.facts()
    done = nettune("offload", "validate", "--inventory", inventory, "--levels", "1,2,7", "--features", "tso",
                   "--i-have-a-console", "--json", prefix=machines.prefix)  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert {each["level"]: each["outcome"] for each in json.loads(done.stdout)["levels"]}["restored"] == "ok"
    assert differences(before, machines.facts()) == ()
    assert [guards(host) for host in machines.both] == [[], []]
