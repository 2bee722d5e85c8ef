"""What a machine says of itself, in one line each; absent is absent."""

import base64
import gzip

import pytest

from bench.facts import machine
from bench.hosts.command import Command
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import answered

PARSED = {
    "cpuinfo": ("model name\t: Intel(R)  Xeon(R) CPU\n", "Intel(R) Xeon(R) CPU"),
    "memory": ("MemTotal:        8150284 kB\n", "8150284 kB"),
    "os": ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
    "kernel": ("Linux 6.18.0 #1 SMP x86_64\n", "Linux 6.18.0 #1 SMP x86_64"),
    "iperf3": ("iperf 3.12 (cJSON 1.7.15)\nLinux x\nOptional features: yes\n", "iperf 3.12 (cJSON 1.7.15)"),
    "governor": ("", "absent"),
    "clocksource": (" \n", "absent"),
    "mitigations": ("/s/v/meltdown:Mitigation: PTI\n/s/v/l1tf:Not affected\n", "mitigated or not affected"),
}


@pytest.mark.parametrize(("name", "texts"), PARSED.items())
def test_an_answer_becomes_one_line(name: str, texts: tuple[str, str]) -> None:
    """Each file or tool in its own words, without its labels."""
    assert machine.parse(name, answered(texts[0])) == texts[1]


def test_vulnerabilities_that_are_open_are_named() -> None:
    """An unmitigated machine measures another number than a mitigated one."""
    text = "/sys/v/mds:Vulnerable\n/sys/v/meltdown:Mitigation: PTI\n/sys/v/bhi:Vulnerable: clear, no microcode\n"

    assert machine.parse("mitigations", answered(text)) == "vulnerable: bhi, mds"


@pytest.mark.parametrize(
    ("config", "expected"),
    [("", "unknown"), ("CONFIG_TICK_CPU_ACCOUNTING=y\nCONFIG_HZ=250\n", "tick-sampled at 250 Hz"),
     ("CONFIG_VIRT_CPU_ACCOUNTING_GEN=y\nCONFIG_HZ=1000\n", "tick-sampled at 1000 Hz, full on nohz_full cores"),
     ("CONFIG_TICK_CPU_ACCOUNTING=y\nCONFIG_IRQ_TIME_ACCOUNTING=y\n", "tick-sampled, interrupt time apart"),
     ("# CONFIG_TICK_CPU_ACCOUNTING is not set\nCONFIG_HZ=250\n", "unknown")],
)  # fmt: skip
def test_the_way_in_which_cpu_time_is_counted_is_named(config: str, expected: str) -> None:
    """Figures of two kernels are comparable only where they count alike."""
    assert machine.cpu_accounting(config) == expected


def test_a_machine_that_tells_nothing_reads_absent() -> None:
    """No tool, no file: every fact is there, as absent."""
    found = machine.read(FakeHost("bare", lambda _: None))

    assert found.pop("CPU accounting") == "unknown"
    assert set(found.values()) == {"absent"}
    assert {"kernel", "cpuinfo", "iperf3", "irtt", "virtualisation"} <= set(found)


USERS = {
    "root": (" 0 0 4294967295\n", False), "an ordinary user's": (" 0 1000 1\n", True),
    "a container's": (" 0 100000 65536\n", True), "not told": ("", False),
}  # fmt: skip


@pytest.mark.parametrize(("ids", "expected"), USERS.values(), ids=USERS)
def test_a_user_namespace_is_known_by_its_ids(ids: str, expected: bool) -> None:
    """Its root is not the machine's, and settings that ask for that one refuse: a fact, there alone."""
    host = FakeHost("a", lambda command: (0, ids if command.argv[-1] == "/proc/self/uid_map" else ""))

    assert machine.in_user_namespace(host) == expected
    assert machine.read(host).get("user namespace") == ("yes" if expected else None)


def _packed(answer: str) -> FakeHost:
    """A host whose kernel configuration is only in /proc/config.gz."""

    def told(command: Command) -> tuple[int, str] | None:
        return (0, answer) if command.argv == ("base64", "/proc/config.gz") else (1, "")

    return FakeHost("a", told)


def test_the_kernel_configuration_is_unpacked_where_no_file_tells_it() -> None:
    """/proc/config.gz through base64, since a transcript is text."""
    text = base64.b64encode(gzip.compress(b"CONFIG_HZ=250\n")).decode()

    assert machine.kernel_config(_packed(text)) == "CONFIG_HZ=250\n"


GARBAGE = {"no base64": "!!!", "no gzip": base64.b64encode(b"hello").decode(),
           "cut": base64.b64encode(gzip.compress(b"x" * 1000)[:-9]).decode(),
           "damaged": base64.b64encode(b"\x1f\x8b\x08" + bytes(6) + b"\x03" + b"\xff" * 5).decode()}  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_a_damaged_kernel_configuration_tells_nothing(text: str) -> None:
    """It is a fact beside others: no reason to fail a run."""
    assert machine.kernel_config(_packed(text)) == ""
