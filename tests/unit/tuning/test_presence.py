"""What a host has of the catalogue, on a transcript of a virtio NIC (ethtool 6.1, Linux 6.18) and on this machine."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.coalescing import parse as parse_coalescing
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.recorded import Recorded
from results.errors import NotAble, WrongInput
from tests.unit.tuning.surveyed import OF_A_NIC, TRANSCRIPT
from tuning.knobs import presence, several
from tuning.knobs.catalogue import Entry, catalogue, chosen, entry
from tuning.knobs.explain import document, explained
from tuning.knobs.presence import Found, Survey, counted, survey


@pytest.fixture(scope="module")
def virtio() -> dict[str, Found]:
    """Knobs of the NIC of the transcript."""
    return {each.id: each for each in survey(Recorded(TRANSCRIPT), OF_A_NIC, "eth0").found}


@pytest.mark.parametrize(
    ("name", "state", "value"),
    [
        ("feature.rx-gro", "writable", "on"),
        ("feature.rx-checksum", "read-only", "on"),
        ("ring.rx", "writable", "256"),
        ("ring.tx-push", "writable", "off"),
        ("ring.rx-buf-len", "absent", None),
        ("channel.combined", "writable", "1"),
        ("coalescing.adaptive-rx", "writable", "off"),
        ("coalescing.adaptive-tx", "absent", None),
        ("coalescing.rx-frames", "writable", "1"),
        ("link.txqueuelen", "writable", "1000"),
        ("link.pause-rx", "absent", None),
        ("rss.hfunc", "writable", "toeplitz"),
        ("rss.indir", "absent", None),
        ("qdisc.fq", "writable", "pfifo_fast"),
    ],
)
def test_a_virtio_nic_tells_what_it_has(virtio: dict[str, Found], name: str, state: str, value: str | None) -> None:
    """Fixed features are read-only, n/a and "Operation not supported" are absent."""
    assert (state, value) == (virtio[name].state, virtio[name].value)


def test_the_present_value_and_all_below_a_maximum_are_left_out(virtio: dict[str, Found]) -> None:
    """What `knobs show` says is left to try on that NIC."""
    seen = Survey("pve1", "eth0", False, (), (virtio["link.txqueuelen"],))
    said = explained(entry("link.txqueuelen"), seen)

    assert said["on pve1"] == "1000 (eth0), writable"
    assert said["left to try"] == "2000, 10000"
    assert document(entry("link.txqueuelen"), seen)["offered"] == ("2000", "10000")


def test_this_machine_agrees_with_proc_sys() -> None:
    """Every sysctl that is found reads what its file holds, of the type and range that the catalogue gives it."""
    seen = survey(Local(), chosen("sysctl"))
    for each in seen.found:
        path = Path("/proc/sys", *each.id.split("."))
        assert (each.state == "absent") == (not path.exists())
        if each.value is not None:
            assert path.read_text(encoding="utf-8").split() == each.value.split()
            assert _fits(entry(each.id), each.value), each


def _fits(asked: Entry, value: str) -> bool:
    """Whether a value is one that the catalogue says a knob takes."""
    numbers = [int(word) for word in value.split() if word.lstrip("-").isdecimal()]
    match asked.type:
        case "number" | "numbers":
            low, high = asked.range or (0, 1 << 64)
            several = asked.type == "numbers"
            return bool(numbers) and (len(numbers) > 1) == several and all(low <= each <= high for each in numbers)
        case "switch":
            return value in {"0", "1"}
        case "choice":
            return value in asked.words
        case _:
            return True


def test_what_cannot_be_asked_says_why() -> None:
    """Knobs of a device without one, of a guest, and those that only a person can look at."""
    by_id = {each.id: each for each in survey(Local(), tuple(catalogue().values())).found}

    assert list(by_id) == list(catalogue())
    assert Found("ring.rx", "not asked", None, "of a device: --device DEV") == by_id["ring.rx"]
    assert Found("guest.net.queues", "not asked", None, several.OF_A_VM) == by_id["guest.net.queues"]
    assert by_id["cpu.irq.smp_affinity"].note == "of a device: --device DEV"
    assert Found("guest.mem.hugepages", "not asked", None, "qm config VMID") == by_id["guest.mem.hugepages"]
    assert by_id["cpu.irq.irqbalance"].note == "systemctl is-active irqbalance"


def test_a_device_that_is_not_there_is_told() -> None:
    """Before any of its knobs is called absent."""
    with pytest.raises(NotAble, match="on local: there is no device 'nt-none'"):
        survey(Local(), chosen("ring"), "nt-none")
    with pytest.raises(WrongInput, match=r"'\.\./eth0' names no network device"):
        survey(Local(), chosen("ring"), "../eth0")


FILES = "644 {}\n444 /proc/sys/net/core/rmem_max\n644 /proc/sys/vm/swappiness\n644 /usr/sbin/pve-firewall\n"
TEXTS = "/proc/sys/net/core/rmem_max:212992\n/proc/sys/vm/swappiness:60\n"


def answered(names: tuple[str, ...], modes: str) -> Survey:
    """A survey of a host with these modes of files."""
    entries = tuple(entry(name) for name in names)
    outcomes = {}
    for command in presence.questions(entries):
        text = modes if command.argv[0] == "stat" else TEXTS
        outcomes[command] = Outcome(command, "pve1", 1, text, "", 0.0)
    return presence.parse("pve1", entries, "", outcomes)


ASKED = ("net.core.rmem_max", "vm.swappiness", "net.core.netdev_budget", "net.bridge.bridge-nf-call-iptables")


def test_a_namespace_is_told_from_the_machine() -> None:
    """What is the machine's is never called writable there, whatever its mode."""
    inside = answered(ASKED, FILES.format("/none"))
    outside = answered(ASKED, FILES.format("/proc/sys/net/core/netdev_max_backlog"))

    assert [each.state for each in inside.found] == ["read-only", "the machine's", "absent", "absent"]
    assert inside.found[0].note == "a namespace sees it, and may not write it"
    assert inside.found[2].note == "it belongs to the whole machine, of which this is one namespace"
    assert [each.state for each in outside.found] == ["read-only", "writable", "absent", "absent"]
    assert outside.found[3].note == "is the module br_netfilter loaded?"
    assert (inside.namespaced, outside.namespaced) == (True, False)
    assert counted(inside) == "1 read-only, 1 the machine's, 2 absent; a network namespace; pve-firewall is installed"


def test_a_program_that_is_installed_alone_writes_nothing(tmp_path: Path) -> None:
    """Each where it runs, tuned with a profile; the firewall of Proxmox VE where its cluster's is on."""
    host, root = Local(), str(tmp_path)
    for path, text in (("usr/sbin/tuned", ""), ("usr/sbin/irqbalance", ""), ("usr/sbin/pve-firewall", ""),
                       ("etc/tuned/active_profile", "virtual-host\n"), ("proc/1/comm", "systemd\n"),
                       ("etc/pve/firewall/cluster.fw", "[OPTIONS]\nenable: 0\n")):  # fmt: skip
        tmp_path.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(path).write_text(text, encoding="utf-8")
    installed = presence.owners(host, root)
    for number, name in ((7, "irqbalance"), (8, "tuned")):
        tmp_path.joinpath("proc", str(number)).mkdir()
        tmp_path.joinpath("proc", str(number), "comm").write_text(f"{name}\n", encoding="utf-8")
    running = presence.owners(host, root)
    tmp_path.joinpath("etc/tuned/active_profile").write_text("\n", encoding="utf-8")
    tmp_path.joinpath("etc/pve/firewall/cluster.fw").write_text("[options]\nenable: 1\n", encoding="utf-8")

    assert installed == ()
    assert set(running) == {"irqbalance", "tuned"}
    assert set(presence.owners(host, root)) == {"irqbalance", "pve-firewall"}


def test_an_owner_is_named_and_told_whether_it_is_there() -> None:
    """pve-firewall writes bridge-nf-call-iptables on each of its runs."""
    asked = entry("net.bridge.bridge-nf-call-iptables")
    there, alone = answered(ASKED, FILES), answered(ASKED, FILES.replace("/usr/sbin/pve-firewall", "/none"))

    assert explained(asked)["owner"] == "pve-firewall"
    assert explained(asked, there)["owner"] == "pve-firewall, which is installed there: leave it to it"
    assert explained(asked, alone)["owner"] == "pve-firewall (not installed)"


def test_knobs_of_sockets_say_that_they_do_nothing_for_guests() -> None:
    """TCP of a bridged guest is the guest's; a device's ring is everybody's."""
    words = "no effect by design on bridged or routed guests' TCP: set it in the guest"

    assert words in explained(entry("net.ipv4.tcp_rmem"))["acts on"]
    assert words not in explained(entry("ring.rx"))["acts on"]
    assert {each.id for each in catalogue().values() if each.endpoint} >= {
        each.id for each in chosen("net.ipv4.tcp_") if each.id != "net.ipv4.tcp_early_demux"
    }


@pytest.mark.parametrize("each", catalogue().values(), ids=lambda each: each.id)
def test_every_knob_can_be_explained(each: Entry) -> None:
    """Nothing empty, no placeholder left, and the JSON has the same."""
    said = explained(each)

    assert {"what", "in a plan", "takes", "acts on", "costs", "policy", "known of it", "source"} <= set(said)
    assert all(said.values())
    assert "NAME" not in "".join(said.values())
    assert said == document(each)["explained"]
    assert dataclasses.asdict(each).items() <= document(each).items()


@given(st.text())
def test_whatever_ethtool_says_of_coalescing_gives_facts_or_none(text: str) -> None:
    """An older or newer ethtool breaks no reading."""
    assert all(key.startswith("coalesce/eth0/") for key in parse_coalescing("eth0", text))


def test_mq_tells_the_kind_of_its_leaves() -> None:
    """A NIC with queues has mq at its root; what acts is below."""
    asked = (entry("qdisc.fq"),)
    text = "qdisc mq 0: dev eth0 root \nqdisc fq 0: dev eth0 parent :1 limit 10000p\nqdisc fq 0: dev eth0 parent :2\n"
    outcomes = {
        command: Outcome(command, "h", 0, text if command.argv[0] == "tc" else "[]", "", 0.0)
        for command in presence.questions(asked, "eth0")
    }

    assert presence.parse("h", asked, "eth0", outcomes).found[0].value == "fq"
    assert Command(("tc", "qdisc", "show")) in outcomes


IRQS = "eth0 near 0-3\neth0 virtio1-config 0-3\neth0 virtio1-input.0 {}\neth0 virtio1-input.0/on 2\n"
GOVERNORS = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor:performance\n" + "".join(
    f"/sys/devices/system/cpu/cpufreq/policy{n}/scaling_governor:powersave\n" for n in range(1, 7)
)
PENDING = "cur net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,queues=2\nnew net0: virtio=BC:24:11:AA:BB:CC,queues=4\n"
PENDING += "cur net1: e1000=BC:24:11:AA:BB:CD,bridge=vmbr0,firewall=1,rate=5\n"
# id, device, what the host says, state, value
EACH = {
    "interrupts alike": ("cpu.irq.smp_affinity", "eth0", IRQS.format("0-3"), "writable", "0-3"),
    "interrupts that differ": ("cpu.irq.smp_affinity", "eth0", IRQS.format("1"), "writable",
                               "0-3 (virtio1-config); 1 (virtio1-input.0)"),
    "no interrupts": ("cpu.irq.smp_affinity", "eth0", "", "absent", None),
    "CPUs that differ": ("cpu.governor", "", GOVERNORS, "writable",
                         "performance (policy0); powersave (policy1, policy2, policy3, policy4 and 2 more)"),
    "CPUs alike": ("cpu.governor", "", GOVERNORS.replace("powersave", "performance"), "writable", "performance"),
    "queues, with the next start": ("guest.net.queues", "tap101i0", PENDING, "writable", "4"),
    "queues of another model": ("guest.net.queues", "tap101i1", PENDING, "writable", "1"),
    "a model": ("guest.net.model", "tap101i1", PENDING, "writable", "e1000"),
    "a rate": ("guest.net.rate", "tap101i1", PENDING, "writable", "5"),
    "no rate": ("guest.net.rate", "tap101i0", PENDING, "writable", "0"),
    "a firewall": ("guest.net.firewall", "tap101i1", PENDING, "writable", "1"),
    "no MTU of its own": ("guest.net.mtu", "tap101i0", PENDING, "writable", "unset"),
    "a NIC that is not there": ("guest.net.model", "tap101i2", PENDING, "absent", None),
    "no tap": ("guest.net.model", "eth0", "", "not asked", None),
}  # fmt: skip


@pytest.mark.parametrize(("name", "device", "text", "state", "value"), EACH.values(), ids=EACH)
def test_a_knob_that_there_are_several_of_is_told_of_each(
    name: str, device: str, text: str, state: str, value: str | None
) -> None:
    """One value where all are alike; else each with those that have it."""
    asked = (entry(name),)
    files = ("/proc/sys/net/core/netdev_max_backlog", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    modes = "".join(f"644 {file}\n" for file in files)
    outcomes = {
        command: Outcome(command, "h", 0, modes if command.argv[0] == "stat" else text, "", 0.0)
        for command in presence.questions(asked, device)
    }
    (found,) = presence.parse("h", asked, device, outcomes).found

    assert (found.state, found.value) == (state, value)
