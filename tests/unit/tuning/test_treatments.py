"""Treatments on kernels that obey, clamp, refuse, couple, stick or are changed by somebody else: all is put back."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import HostFault
from bench.labs.lab import Target
from bench.labs.topology import Kind
from bench.plan import SettingSpec
from results.errors import WrongInput
from tests.unit.tuning.kernel import CC, RMEM, Kernel, KernelLab, Reaction, lab, obey
from tuning.journal import Journal, kept, outstanding
from tuning.treatments import SettingRefused, Settings
from tuning.undoing import RestoreFailed

State = Mapping[str, Mapping[str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is kept."""
    return tmp_path / "run.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A journal on disk."""
    with kept(path) as journal:
        yield journal


def _treatment(journal: Journal, values: Mapping[str, str], target: Target | None = None) -> Settings:
    return Settings("t", [SettingSpec(setting, value, target) for setting, value in values.items()], journal)


def _state(stand: KernelLab) -> State:
    return {name: dict(sheet.facts) for name, sheet in stand.read().items()}


def _kernel(stand: KernelLab, name: str) -> Kernel:
    return next(host for host in stand.kernels if host.name == name)


MANY = {"tso": "off", "mtu": "9000", RMEM: "4096 16384 16384", "congestion_control": "reno", "gro": "on"}


def test_everything_is_held_and_put_back_exactly(journal: Journal) -> None:
    """Inside the block every device and host has the values; afterwards nothing tells that it was held."""
    stand = lab()
    before = _state(stand)
    with _treatment(journal, MANY).holds(stand, stand.read()) as held:
        inside = _state(stand)
        seen = {name: dict(sheet.facts) for name, sheet in held.within.items()}

    assert _state(stand) == before
    assert seen == inside
    assert {inside[host][f"link/{device}/mtu"] for host, device in (("a", "eth0"), ("node", "br0"))} == {"9000"}
    assert (inside["b"][f"sysctl/{RMEM}"], inside["b"][f"sysctl/{CC}"]) == ("4096 16384 16384", "reno")
    assert inside["node"]["feature/port-a/tx-tcp-segmentation"] == "off"
    assert inside["node"]["feature/br0/tx-tcp-segmentation"] == "on"
    assert journal.clean


def test_the_intent_is_on_disk_before_the_first_write(journal: Journal, path: Path) -> None:
    """A SIGKILL between any two steps leaves the originals on disk."""
    seen: list[int] = []

    def noting(kernel: Kernel, key: str, value: str) -> str:
        seen.append(len(outstanding(path)))
        return value

    stand = lab(react=noting)
    with _treatment(journal, {"mtu": "9000"}).holds(stand, stand.read()):
        pass

    assert seen
    assert set(seen) == {1}


_CARRIER, _LOST = "BROADCAST LOWER_UP UP", ("BROADCAST UP", "BROADCAST NO-CARRIER UP")  # at once, and a second later
_FLAGS = "link/eth0/flags"


class _Negotiating(KernelLab):
    """A link that was lost has its carrier again after it was read three times."""

    def read(self) -> Sheets:
        """See Lab.read."""
        found = super().read()
        for host in self.kernels:
            if host.facts.get(_FLAGS) in _LOST:
                host.read_lost += 1
                host.facts[_FLAGS] = _LOST[1]
                if host.read_lost % 3 == 0:
                    host.facts |= {_FLAGS: _CARRIER, "route/198.18.0.0/24 dev eth0": "present"}
        return found


def _starts_anew(kernel: Kernel, key: str, value: str) -> str:
    """The driver starts its NIC anew for a feature, as e1000e does: the link is negotiated again."""
    if kernel.name == "a" and key == "feature/eth0/tx-tcp-segmentation":
        kernel.facts[_FLAGS] = _LOST[0]
        kernel.facts.pop("route/198.18.0.0/24 dev eth0")
    return value


def test_a_link_that_a_toggle_takes_down_for_a_while_is_waited_for(journal: Journal) -> None:
    """Neither held nor left before it has carrier, the second time too; and it is no change that somebody else made."""
    made = lab(react=_starts_anew)
    stand = _Negotiating(made.topology, made.endpoints, made.nodes, made.path)
    for host in stand.kernels:
        if host.name != "node":
            host.facts |= {_FLAGS: _CARRIER, "route/198.18.0.0/24 dev eth0": "present"}
    before, baseline = _state(stand), stand.read()
    treatment = _treatment(journal, {"tso": "off"})
    for _ in range(2):
        with treatment.holds(stand, baseline) as held:
            assert _kernel(stand, "a").facts[_FLAGS] == _CARRIER
        assert _state(stand) == before
        assert held.moved == ()


def _clamp(kernel: Kernel, key: str, value: str) -> str:
    return "4096 8192 8192" if key == f"sysctl/{RMEM}" and value == "4096 16384 16384" else value


def _refuse(kernel: Kernel, key: str, value: str) -> str | None:
    return None if key == f"sysctl/{RMEM}" else value


def _refuse_there(kernel: Kernel, key: str, value: str) -> str | None:
    return None if (kernel.name, key) == ("b", f"sysctl/{RMEM}") else value


REFUSED: dict[str, tuple[Reaction, str]] = {
    "clamped": (_clamp, "on a: sysctl/net.ipv4.tcp_rmem was set to '4096 16384 16384' and reads '4096 8192 8192'"),
    "ignored": (_refuse, "on a: .* and reads '4096 131072 6291456'"),
    "ignored on one host": (_refuse_there, "on b: .* and reads '4096 131072 6291456'"),
}


@pytest.mark.parametrize(("react", "words"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_does_not_hold_is_refused_and_all_is_undone(journal: Journal, react: Reaction, words: str) -> None:
    """Read back, named, and put back with everything that was already set."""
    stand = lab(react=react)
    before = _state(stand)
    with pytest.raises(SettingRefused, match=words), _treatment(journal, MANY).holds(stand, stand.read()):
        pytest.fail("the block must not be entered")

    assert _state(stand) == before
    assert journal.clean


def _coupled(kernel: Kernel, key: str, value: str) -> str:
    """Without a checksum no segmentation: what was on waits, and comes back with it (netdev_fix_features)."""
    if key.endswith("/tx-checksum-ip-generic"):
        for name in ("tx-tcp-segmentation", "tx-tcp6-segmentation"):
            other = f"{key.rsplit('/', 1)[0]}/{name}"
            if value == "off" and kernel.facts[other] == "on":
                kernel.facts[other] = "off [requested on]"
            elif value == "on" and kernel.facts[other] == "off [requested on]":
                kernel.facts[other] = "on"
    if (
        "-segmentation" in key
        and value == "on"
        and kernel.facts[f"{key.rsplit('/', 1)[0]}/tx-checksum-ip-generic"] != "on"
    ):
        return "off [requested on]"
    return value


@pytest.mark.parametrize("values", [{"tx": "off"}, {"tx": "off", "tso": "off"}, {"tso": "off", "tx": "off"}], ids=str)
def test_features_that_the_kernel_couples_come_back(journal: Journal, values: dict[str, str]) -> None:
    """Also the wanted bit; and the treatment explains what it dragged along."""
    stand = lab(react=_coupled)
    before = _state(stand)
    treatment = _treatment(journal, values)
    with treatment.holds(stand, stand.read()):
        inside = _state(stand)

    assert inside["a"]["feature/eth0/tx-tcp-segmentation"].startswith("off")
    assert _state(stand) == before
    assert treatment.explains(Difference("a", "feature/eth0/tx-tcp-segmentation", "on", "off [requested on]"))


def _drag(kernel: Kernel, key: str, value: str) -> str:
    """An MTU below 1280 takes IPv6 away (addrconf_ifdown)."""
    if key == "link/eth0/mtu" and int(value) < 1280:
        for each in [name for name in kernel.facts if ":" in name]:
            del kernel.facts[each]
    return value


def test_what_a_knob_drags_along_comes_back(journal: Journal) -> None:
    """Addresses and routes that the kernel deleted are made again, in their own words."""
    stand = lab("direct", react=_drag)
    _kernel(stand, "a").facts |= {
        "address/eth0/fd00::1/64": "scope global",
        "route/fd00:9::/64 via fd00::2 dev eth0 metric 1024 pref medium": "present",
    }
    before = _state(stand)
    with _treatment(journal, {"mtu": "1000"}).holds(stand, stand.read()):
        inside = _state(stand)

    assert not [key for key in inside["a"] if ":" in key]
    assert _state(stand) == before


def _following(kernel: Kernel, key: str, value: str) -> str:
    """A bridge takes the least MTU of its ports until somebody sets it."""
    if key.startswith("link/port-"):
        ports = {f"link/{port}/mtu": kernel.facts[f"link/{port}/mtu"] for port in ("port-a", "port-b")} | {key: value}
        kernel.facts["link/br0/mtu"] = str(min(map(int, ports.values())))
    return value


def test_a_bridge_that_follows_its_ports_is_never_written(journal: Journal) -> None:
    """Writing it once would end its following for good, and cannot be undone."""
    stand = lab(react=_following)
    before = _state(stand)
    with _treatment(journal, {"mtu": "1400"}).holds(stand, stand.read()):
        inside = _state(stand)

    assert inside["node"]["link/br0/mtu"] == "1400"
    assert _state(stand) == before
    assert not [command for command in _kernel(stand, "node").asked if "br0" in command.argv]


def test_an_error_inside_passes_through_and_all_is_put_back(journal: Journal) -> None:
    """A probe that crashed, an interruption."""
    stand = lab()
    before = _state(stand)
    with pytest.raises(KeyboardInterrupt), _treatment(journal, MANY).holds(stand, stand.read()):
        raise KeyboardInterrupt

    assert _state(stand) == before
    assert journal.clean


def _sticky(kernel: Kernel, key: str, value: str) -> str | None:
    """One sysctl on one host takes the treatment's value and never lets go of it."""
    stuck = (kernel.name, key) == ("a", f"sysctl/{CC}") and kernel.facts[key] == "reno"
    return None if stuck else value


def test_failed_restore_keeps_the_journal_and_restores_the_rest(path: Path) -> None:
    """The fact that stays is named; every other one is back; its original stays on disk."""
    stand = lab(react=_sticky)
    before = _state(stand)
    stays = pytest.raises(RestoreFailed, match=r"a: sysctl/net\.ipv4\.tcp_congestion_control: 'cubic' -> 'reno'")
    with kept(path) as journal, stays, _treatment(journal, MANY).holds(stand, stand.read()):
        pass
    (intent,) = outstanding(path)
    changed = {(host, key) for host, facts in _state(stand).items() for key in facts if facts[key] != before[host][key]}

    assert changed == {("a", f"sysctl/{CC}")}
    assert intent.originals["a"].facts[f"sysctl/{CC}"] == "cubic"


def test_a_value_that_somebody_else_changed_is_not_overwritten(path: Path) -> None:
    """It is told with what it was and what we set; the rest is put back; the journal keeps the original."""
    stand = lab()
    conflict = pytest.raises(RestoreFailed, match=r"reads '4096 1 1', neither .* somebody else")
    with kept(path) as journal, conflict as raised, _treatment(journal, MANY).holds(stand, stand.read()):
        _kernel(stand, "b").facts[f"sysctl/{RMEM}"] = "4096 1 1"
    now = _state(stand)

    assert now["b"][f"sysctl/{RMEM}"] == "4096 1 1"
    assert now["a"][f"sysctl/{RMEM}"] == "4096 131072 6291456"
    assert now["node"]["link/br0/mtu"] == "1500"
    assert "(1 facts)" in str(raised.value)
    assert len(outstanding(path)) == 1


def test_what_moved_during_a_trial_beside_the_treatment_is_told(journal: Journal) -> None:
    """Only what is written is read again before the undo; the undo reads the rest, tells it, and puts it back."""
    stand = lab()
    before = _state(stand)
    with _treatment(journal, {"tso": "off"}).holds(stand, stand.read()) as held:
        _kernel(stand, "b").facts[f"sysctl/{RMEM}"] = "4096 1 1"
        read = held.read()

    assert differences(held.within, read) == ()
    assert held.moved == (Difference("b", f"sysctl/{RMEM}", "4096 131072 6291456", "4096 1 1"),)
    assert _state(stand) == before


def test_what_is_written_is_read_again_at_the_end_of_a_trial(journal: Journal) -> None:
    """A value of the treatment that somebody changed is seen, and was not there when the trial began."""
    stand = lab()
    conflict = pytest.raises(RestoreFailed, match="somebody else")
    with conflict, _treatment(journal, {RMEM: "4096 16384 16384"}).holds(stand, stand.read()) as held:
        _kernel(stand, "b").facts[f"sysctl/{RMEM}"] = "4096 1 1"
        read = held.read()

    assert [str(each) for each in differences(held.within, read)] == [
        f"b: sysctl/{RMEM}: '4096 16384 16384' -> '4096 1 1'"
    ]


def test_a_value_that_somebody_else_put_back_already_is_no_conflict(journal: Journal) -> None:
    """The original is the original, whoever wrote it."""
    stand = lab()
    before = _state(stand)
    with _treatment(journal, MANY).holds(stand, stand.read()):
        _kernel(stand, "b").facts[f"sysctl/{RMEM}"] = "4096 131072 6291456"

    assert _state(stand) == before


@pytest.mark.parametrize("name", ["a", "b", "node"])
def test_a_host_that_is_gone_does_not_keep_the_others_from_being_restored(path: Path, name: str) -> None:
    """Every undo runs though another failed; the failure is told, and the journal keeps the originals."""
    stand = lab()
    before = _state(stand)
    failed = pytest.raises(RestoreFailed, match=f"on {name}: gone")
    with kept(path) as journal, failed, _treatment(journal, MANY).holds(stand, stand.read()):
        _kernel(stand, name).dead = True
    changed = {host for host, facts in _state(stand).items() if facts != before[host]}

    assert changed == {name}
    assert len(outstanding(path)) == 1


def test_a_host_that_fails_while_writing_leaves_nothing_set(journal: Journal) -> None:
    """The error of the write passes through once everything is undone."""
    stand = lab()
    before = _state(stand)
    treatment = _treatment(journal, {"mtu": "9000"})
    baseline = stand.read()
    _kernel(stand, "b").dead = True
    with pytest.raises(HostFault, match="on b: gone"), treatment.holds(stand, baseline):
        pytest.fail("the block must not be entered")

    assert _state(stand) == before
    assert journal.clean


@pytest.mark.parametrize(
    ("values", "words"),
    [({"tso": "on", "mtu": "1500"}, "already so on this lab"), ({"lro": "on"}, "fixed by its driver"),
     ({"congestion_control": "bbr"}, "tcp_allowed_congestion_control"), ({"tso": "on", "mtu": "9000"}, "")],
)  # fmt: skip
def test_a_treatment_says_why_it_cannot_be_held(journal: Journal, values: dict[str, str], words: str) -> None:
    """Before any block; what is already so would be compared with itself."""
    stand = lab()
    refusal = _treatment(journal, values).refusal(stand, stand.read())

    assert words in refusal
    assert bool(refusal) == bool(words)


def test_a_treatment_is_described_with_what_was(journal: Journal) -> None:
    """In writing order, with the target that counts and every value that current has."""
    stand = lab()
    _kernel(stand, "b").facts["feature/eth0/tx-tcp-segmentation"] = "off"
    rows = _treatment(journal, {"congestion_control": "reno", "tso": "off", "mtu": "9000"}).described(
        stand, stand.read()
    )

    assert [tuple(row.values()) for row in rows] == [
        ("mtu", "9000", "path", "1500"),
        ("tso", "off", "path", "off | on"),
        ("congestion_control", "reno", "guest", "cubic"),
    ]


def test_a_setting_that_no_knob_takes_is_wrong_input(journal: Journal) -> None:
    """A plan that was not checked."""
    with pytest.raises(WrongInput, match="'tsoo' is no knob"):
        _treatment(journal, {"tsoo": "on"})


def test_two_values_for_one_fact_are_refused(journal: Journal) -> None:
    """`tso` and one of its features the other way: which one counts is not guessed."""
    stand = lab("direct")
    refusal = _treatment(journal, {"tso": "off", "tx-tcp6-segmentation": "on"}).refusal(stand, stand.read())
    same = _treatment(journal, {"tso": "off", "tx-tcp6-segmentation": "off"}).refusal(stand, stand.read())

    assert refusal == "not settable here: feature/eth0/tx-tcp6-segmentation on a is asked to be both 'off' and 'on'"
    assert same == ""


VALUES = {
    "tso": ("on", "off"), "gso": ("on", "off"), "tx": ("on", "off"), "sg": ("on", "off"), "gro": ("on", "off"),
    "mtu": ("576", "1279", "1500", "9000"), RMEM: ("4096 4096 4096", "4096 131072 6291456"),
    "congestion_control": ("reno", "cubic"), "net.ipv4.tcp_ecn": ("0", "1", "2"),
}  # fmt: skip
ONE = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 3), min_size=1, max_size=5).map(
    lambda picked: {setting: VALUES[setting][number % len(VALUES[setting])] for setting, number in picked.items()}
)
REACTIONS: tuple[Reaction, ...] = (obey, _clamp, _coupled, _drag, _following, _refuse)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sequence=st.lists(ONE, min_size=1, max_size=3),
    react=st.sampled_from(REACTIONS),
    kind=st.sampled_from(("direct", "bridge", "routed")),
    broken=st.booleans(),
)
def test_after_any_sequence_of_treatments_the_state_is_the_one_before(
    journal: Journal, sequence: list[dict[str, str]], react: Reaction, kind: Kind, broken: bool
) -> None:
    """Whatever the kernel makes of it: held, refused or interrupted, nothing is left behind."""
    stand = lab(kind, react)
    before = _state(stand)
    for values in sequence:
        treatment = _treatment(journal, values)
        baseline = stand.read()
        try:
            with treatment.holds(stand, baseline):
                if broken:
                    raise KeyError
        except (SettingRefused, KeyError):
            pass

        assert _state(stand) == before
    assert journal.clean
