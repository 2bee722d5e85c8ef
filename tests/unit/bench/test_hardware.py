"""What decides whether advice is for a host, from the answers of real tools."""

from bench.facts.hardware import QUESTIONS, kept_of_nics, of_run, parse
from bench.hosts.command import Command, Outcome
from tests.unit.bench.fakes import FakeHost


def _told(**answers: tuple[int, str]) -> dict[str, Outcome]:
    return {name: Outcome(command, "host", *answers.get(name, (1, "")), "", 0.0) for name, command in QUESTIONS.items()}


def test_a_node_tells_release_drivers_and_speeds() -> None:
    """Bare metal: systemd-detect-virt prints none and exits with 1; a bridge is no hardware."""
    nics = "eno1 igb 1000\nenp1s0f0 ixgbe 10000\nenp1s0f1 ixgbe -1\n"
    told = _told(release=(0, "6.8.12-4-pve\n"), virtual=(1, "none\n"), pve=(0, ""), mounts=(0, "2\n"), nics=(0, nics))

    assert parse(told) == {
        "host/release": "6.8.12-4-pve",
        "host/virtual": "none",
        "host/pve": "yes",
        "host/mounts": "yes",
        "device/eno1/driver": "igb",
        "device/eno1/speed": "1000",
        "device/enp1s0f0/driver": "ixgbe",
        "device/enp1s0f0/speed": "10000",
        "device/enp1s0f1/driver": "ixgbe",
    }


def test_without_systemd_the_cpu_tells_of_a_hypervisor() -> None:
    """The flag that the hypervisor itself sets; on other CPUs nothing tells."""
    guest = parse(_told(virtual=(127, ""), cpu=(0, "flags\t\t: fpu sse2 hypervisor lahf_lm\n")))
    metal = parse(_told(virtual=(127, ""), cpu=(0, "flags\t\t: fpu sse2\n")))
    other = parse(_told(virtual=(127, ""), cpu=(1, "")))

    assert guest["host/virtual"] == "a hypervisor"
    assert metal["host/virtual"] == "none"
    assert "host/virtual" not in other


def test_what_a_device_does_not_tell_is_no_fact() -> None:
    """No driver, a speed that is unknown (4294967295) or none, a line that is cut short, no mounts."""
    told = parse(_told(nics=(0, "eth0 virtio_net -\neth1 - 4294967295\neth2\n"), mounts=(1, "0\n")))

    assert told == {"host/pve": "no", "device/eth0/driver": "virtio_net"}


NICS = "eno1 ixgbe 10000\neno2 ixgbe -1\neth9 virtio_net -\n"
# `ethtool -i` of a NIC of Intel's, and of a device that has no firmware.
WITH_FIRMWARE = """driver: ixgbe
version: 6.8.12-4-pve
firmware-version: 0x80000af2, 1.1752.0
expansion-rom-version:
bus-info: 0000:01:00.0
"""
WITHOUT = "driver: virtio_net\nversion: 1.0.0\nfirmware-version: \nexpansion-rom-version: \n"


def _answers(command: Command) -> tuple[int, str]:
    match command.argv:
        case ("uname", "-r"):
            return 0, "6.8.12-4-pve\n"
        case ("systemd-detect-virt", "--vm"):
            return 0, "kvm\n"
        case ("ethtool", "-i", device):
            return 0, WITH_FIRMWARE if device == "eno1" else WITHOUT
        case ("sh", "-c", *_):
            return 0, NICS
    return 1, ""


def test_a_run_keeps_what_the_nics_of_its_machines_are() -> None:
    """By device and host, of the asked ones alone; a bridge is no hardware, and a link that is down has no speed."""
    kept = of_run(FakeHost("pve1", _answers), ("eno1", "eno2", "vmbr0"))

    assert kept == {
        "kernel of pve1": "6.8.12-4-pve",
        "virtualisation of pve1": "kvm",
        "driver of eno1 on pve1": "ixgbe",
        "firmware of eno1 on pve1": "0x80000af2, 1.1752.0",
        "speed of eno1 on pve1": "10000",
        "driver of eno2 on pve1": "ixgbe",
    }
    assert kept_of_nics(kept, "driver") == {("pve1", "eno1"): "ixgbe", ("pve1", "eno2"): "ixgbe"}
    assert kept_of_nics(kept, "speed") == {("pve1", "eno1"): "10000"}
