"""After a kernel's upgrade: what it ships may be above what a kept change sets."""

import pytest

from bench.facts.sheet import FactSheet
from bench.hosts.command import Command
from tests.unit.bench.fakes import FakeHost
from tuning.applying import defaults, lasting
from tuning.applying.others import Other
from tuning.applying.record import Applied
from tuning.knobs.knob import Change

NAME = "net.core.somaxconn"
KEY = f"sysctl/{NAME}"


def kept(name: str = NAME, value: str = "1024") -> Applied:
    """A change that sets a sysctl, and was made when the kernel shipped 128."""
    change = Change("pve1", f"sysctl/{name}", value)
    return Applied("0123456789ab", "pve1", "mine", 1.0, (), ((name, value),), (change,), {change.key: "128"},
                   {}, "kept")  # fmt: skip


def shipping(value: str) -> FakeHost:
    """A host whose kernel gives a new namespace that value; nothing where it makes none."""

    def answer(command: Command) -> tuple[int, str]:
        files = command.argv[command.argv.index(".") + 1 :]
        return (0, "".join(f"{file}:{value}\n" for file in files)) if value else (1, "Operation not permitted")

    return FakeHost("pve1", answer)


@pytest.mark.parametrize(("ships", "words"), [("4096", True), ("1024", False), ("128", False), ("", False)])
def test_a_default_above_what_is_set_is_named_as_the_cause(ships: str, words: bool) -> None:
    """Though the value still stands as it was applied."""
    found = defaults.above(shipping(ships), [kept()], FactSheet("pve1", {KEY: "1024"}))

    assert [(each.key, each.wanted, each.actual) for each in found] == ([(KEY, "1024", "1024")] if words else [])
    assert all("a newer kernel's default is above ours: it ships 4096" in each.cause for each in found)


def test_what_is_no_namespaces_own_is_not_asked() -> None:
    """The one value of the machine is what we have set; what is no maximum is below nothing."""
    host = shipping("600")

    assert defaults.above(host, [kept("net.core.netdev_budget", "300")], FactSheet("pve1", {})) == ()
    assert host.asked == []
    assert defaults.above(host, [kept("net.ipv4.tcp_fin_timeout", "30")], FactSheet("pve1", {})) == ()


def test_the_kept_file_says_what_it_overrides() -> None:
    """What was set before, whose lines give way to it and whose do not; no text of those becomes a setting."""
    over = (Other(NAME, "/etc/sysctl.d/50-x.conf:2", f"{NAME} = 256\nkernel.panic = 1", "at boot", "256"),
            Other(NAME, "bpftune", "it tunes sysctls of net. by itself", "while it runs"),
            Other("net.core.rmem_max", "/etc/sysctl.d/50-x.conf:3", "net.core.rmem_max = 1", "at boot"))  # fmt: skip
    text = lasting.written(kept(), "6.8", over=over)["sysctl.conf"]

    assert text.splitlines()[1:] == [
        "# was 128", f"# over /etc/sysctl.d/50-x.conf:2: {NAME} = 256 kernel.panic = 1",
        "# not over bpftune: it tunes sysctls of net. by itself: it may set it again at any time", f"{NAME} = 1024",
    ]  # fmt: skip
