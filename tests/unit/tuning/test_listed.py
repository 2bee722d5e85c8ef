"""What a host says of its changes: what cannot be read is told, and what stands half is no "nothing to do"."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts.riding import Riding
from bench.facts.roles import Link, Stack
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from results.errors import NotAble, WrongInput
from tests.unit.bench.fakes import FakeHost
from tests.unit.tuning import kernel
from tests.unit.tuning.test_applying import LARGE, RMEM, SMALL, _applied
from tuning import guard, restoring
from tuning.applying import clusters, drift, keeping, overwritten, record, returning
from tuning.applying.record import Applied
from tuning.knobs.knob import Change

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
WMEM = "sysctl/net.ipv4.tcp_wmem"
# Names of scripts, so that a test can say what was run.
SCRIPTS = {guard.PUT_BACK: "put back", guard.ARM: "arm", guard._FILES: "files", guard._CLOSED: "closed",
           clusters._CLAIM: "claim", clusters._RELEASE: "release"}  # fmt: skip
RIDING = Riding(Stack([Link("eth0")]), (), ())


def listed(root: Path) -> Outcome:
    """LIST by a real shell."""
    return Local().run(Command(("sh", "-c", keeping.LIST, "sh", str(root))))


def folder(root: Path, change_id: str, about: str, **files: str) -> Path:
    """A change's folder; `about` is the second line of its script."""
    place = root / change_id
    place.mkdir(parents=True)
    texts = {"restore": f"#!/bin/sh\n{about}\nif [ $1 = boot ]\n", "boot": BOOT, "turn": "1\n", **files}
    for name, text in texts.items():
        (place / name.replace("_", "-")).write_text(text, encoding="utf-8")
    return place


def test_a_folder_that_cannot_be_read_is_not_one_without_changes(tmp_path: Path) -> None:
    """The first is an error of its own, with what the host said."""
    (tmp_path / "file").touch()
    none, ill = listed(tmp_path / "guard"), listed(tmp_path / "file" / "guard")

    assert (none.returncode, none.stdout) == (0, "")
    assert (ill.returncode, ill.stdout) == (1, "")
    assert "Not a directory" in ill.stderr
    assert keeping.changes(FakeHost("pve1")) == ()


def test_how_a_change_stands_is_told_by_its_files(tmp_path: Path) -> None:
    """One that is being armed, or never was, is none; one that was cut short in its undo is begun."""
    header = record.header(_applied())
    folder(tmp_path, "00000000000a", header)
    folder(tmp_path, "00000000000b", header, restoring="5\n")
    folder(tmp_path, "00000000000c", header, deadline="5\n", boot="another\n")
    folder(tmp_path, "00000000000d", header, confirmed="5\n")
    folder(tmp_path, "00000000000e", header, deadline="99999999\n")
    (tmp_path / "lock").touch()
    found = record.listed("pve1", listed(tmp_path).require().stdout)

    assert [(each.change_id[-1], each.state, each.booted) for each in found] == [
        ("b", "begun", False), ("c", "begun", True), ("d", "confirmed", False), ("e", "armed", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("about", "words"),
    [('# nettune applied: {"format": 2}', "it has format 2: a newer nettune wrote it"),
     ("# nettune applied: {", "it is damaged"), ("", "it is damaged")],
)  # fmt: skip
def test_one_record_that_cannot_be_read_hides_no_other(about: str, words: str, tmp_path: Path) -> None:
    """It is listed with its state and the reason; taking it back says what does; the other is taken back as ever."""
    good, bad = "00000000000a", "00000000000b"
    folder(tmp_path, good, record.header(_applied()), confirmed="5\n")
    folder(tmp_path, bad, about, confirmed="5\n", turn="2\n")
    found = record.listed("pve1", listed(tmp_path).require().stdout)
    (told,) = drift.outstanding(found, FactSheet("pve1", {RMEM: LARGE}))

    assert [each.change_id for each in found] == [good, bad]
    assert (found[0].state, found[0].unreadable, found[1].state) == ("confirmed", "", "confirmed")
    assert words in found[1].state_words
    assert found[1].state_words.startswith("unreadable (confirmed): ")
    assert f"change {bad} (confirmed): its record cannot be read: {words}" in told.words
    assert returning.chosen("pve1", found, good) == found[0]
    for change_id in ("", bad):
        with pytest.raises(NotAble, match=bad) as raised:
            returning.chosen("pve1", found, change_id)
        assert f"sh {guard.ROOT}/{bad}/restore now" in raised.value.hint


def test_a_record_whose_script_is_gone_is_listed(tmp_path: Path) -> None:
    """By what else lies there."""
    place = folder(tmp_path, "00000000000a", "", confirmed="5\n", moved="{}\n")
    (place / "restore").unlink()
    (found,) = record.listed("pve1", listed(tmp_path).require().stdout)

    assert (found.state, bool(found.unreadable)) == ("confirmed", True)


def test_a_change_that_cannot_be_read_is_not_confirmed() -> None:
    """Whoever made it knows what it is."""
    host = FakeHost("pve1", lambda _: (0, '00000000000a armed 30 1 1\n# nettune applied: {"format": 2}\n\n'))
    with pytest.raises(NotAble, match="00000000000a is not confirmed: its record cannot be read"):
        keeping.waiting(host, "ssh://pve1")


def _half(**more: object) -> Applied:
    """Of two settings one was put back when its script was killed."""
    half = _applied(state="begun", moved={RMEM: (SMALL, LARGE), WMEM: (SMALL, LARGE)})
    return replace(half, **more)  # type: ignore[arg-type] # fields by name


def test_what_a_host_has_put_back_in_part_is_a_drift_that_says_what_is_left() -> None:
    """So is what nobody has put back though its time is over; and one that waits is none."""
    now = FactSheet("pve1", {RMEM: SMALL, WMEM: LARGE})
    (half,) = drift.outstanding([_half()], now)
    (late,) = drift.outstanding([_half(state="armed", left_s=-100)], now)
    (done,) = drift.outstanding([_half()], FactSheet("pve1", {RMEM: SMALL, WMEM: SMALL}))

    assert "was cut short; not as before: sysctl/net.ipv4.tcp_wmem: `nettune rollback`" in half.words
    assert "its time is over, and nobody has put it back" in late.words
    assert "all that it moved reads as before" in done.words
    assert drift.outstanding([_half(state="armed", left_s=20), _half(state="confirmed")], now) == ()


def test_what_was_put_back_in_part_is_the_first_that_rollback_takes_back() -> None:
    """Before what stands, and never below it."""
    stands = _applied("ba9876543210", at=0.5)

    assert returning.chosen("pve1", (stands, _half()), "") == _half()
    with pytest.raises(WrongInput, match="came later and moved the same"):
        returning.chosen("pve1", (stands, _half()), stands.change_id)


class Host(FakeHost):
    """One whose scripts are told by name; `fails` do."""

    def ran(self) -> list[str]:
        """The scripts that were run there, in order."""
        return [SCRIPTS[each.argv[2]] for each in self.asked if len(each.argv) > 2 and each.argv[2] in SCRIPTS]


def _host(*fails: str) -> Host:
    return Host("a", lambda command: (int(SCRIPTS.get(" ".join(command.argv[2:3]), "") in fails), "pve2 is changed"))


def _taken_back(host: Host, reads: str, *, anyway: bool = False, unclaimed: bool = False, **more: object) -> str:
    """A change of one sysctl, which reads so and then what a script has put back."""
    lab = kernel.lab("direct")
    lab.kernels[0].facts[RMEM] = reads
    applied = replace(_applied(), host="a", changes=(Change("a", RMEM, LARGE),), **more)  # type: ignore[arg-type] # by name
    run = host.run

    def putting_back(command: Command) -> Outcome:
        if command.argv[2:3] == (guard.PUT_BACK,):
            lab.kernels[0].facts[RMEM] = SMALL
        return run(command)

    host.run = putting_back  # type: ignore[method-assign] # a script that does what it says
    return returning.take_back(host, lab, applied, RIDING, anyway=anyway, unclaimed=unclaimed)


@pytest.mark.parametrize("state", ["armed", "begun"])
def test_what_somebody_else_set_while_a_change_waits_is_asked_for_before_the_script_runs(state: str) -> None:
    """It would be gone before anybody compared; and the host's own deadline goes on meanwhile."""
    host = _host()
    with pytest.raises(returning.SomebodyElses, match="'1 2 3'") as raised:
        _taken_back(host, "1 2 3", state=state, left_s=60)
    asked = host.ran()
    said = _taken_back(host, "1 2 3", anyway=True, state=state, left_s=60)

    assert asked == []
    assert bool(re.search(r"the host puts it back all the same in 5\d s", str(raised.value))) == (state == "armed")
    assert ("nettune confirm" in raised.value.hint) == (state == "armed")
    assert host.ran() == ["put back", "release"]
    assert said.startswith("overwritten: sysctl/net.ipv4.tcp_rmem reads '1 2 3'")


def test_what_a_boot_left_of_a_change_is_brought_to_its_end_by_its_files_alone() -> None:
    """All else is gone with the boot."""
    host, key = _host(), "host.fw/nf_conntrack_max"
    changes = (Change("a", key, "2"), Change("a", RMEM, LARGE))
    moved = {key: ("1", "2"), RMEM: (SMALL, LARGE)}
    lab = kernel.lab("direct")
    lab.kernels[0].facts |= {key: "1", RMEM: "1 2 3"}
    applied = replace(_applied(state="begun"), host="a", booted=True, changes=changes, moved=moved)
    returning.take_back(host, lab, applied, RIDING)

    assert host.ran() == ["files", "closed", "release"]


def test_a_node_is_claimed_before_a_confirmed_change_of_it_is_taken_back() -> None:
    """As by apply, and released where it was not begun; --unclaimed does without, and what waits needs none."""
    claimed, refused, without, armed = _host("arm"), _host("claim"), _host("arm"), _host()
    with pytest.raises(guard.NotGuarded):
        _taken_back(claimed, LARGE)
    with pytest.raises(clusters.ClusterNotWell, match="nothing was changed: pve2 is changed") as raised:
        _taken_back(refused, LARGE)
    with pytest.raises(guard.NotGuarded):
        _taken_back(without, LARGE, unclaimed=True)
    _taken_back(armed, LARGE, state="armed")

    assert claimed.ran() == ["claim", "arm", "release"]
    assert refused.ran() == ["claim"]
    assert "--unclaimed takes it back all the same" in raised.value.hint
    assert without.ran() == ["arm"]
    assert armed.ran() == ["put back", "release"]


def test_what_a_host_puts_itself_back_over_is_told(tmp_path: Path) -> None:
    """By its log, where somebody else's value was neither that from before nor the change's, in whatever spelling."""
    txqlen, governor = "link/eth0/txqlen", "cpu/policy0/scaling_governor"
    reads = {RMEM: "1  2\t3\n", WMEM: LARGE, txqlen: "7\n", governor: "performance\n"}
    changes = tuple(Change("pve1", key, LARGE if key in {RMEM, WMEM} else "powersave") for key in reads)
    changes = (*changes, Change("pve1", "feature/eth0/rx-gro", "on"))
    originals = {each.key: "performance" for each in changes}
    made = replace(_applied(), changes=changes, originals=originals)
    lines = overwritten.lines(changes, FactSheet("pve1", originals))
    for key, text in reads.items():
        (tmp_path / key.replace("/", ".")).write_text(text, encoding="utf-8")
        lines = tuple(re.sub(rf"^(over {re.escape(key)}) \S+", rf"\1 {tmp_path}/{key.replace('/', '.')}", each)
                      for each in lines)  # fmt: skip
    about = record.header(made)
    place = folder(tmp_path / "root", "00000000000a", about, verified="", deadline="0\n",
                   restore=restoring.script(lines, about))  # fmt: skip
    Local().run(Command(("sh", str(place / "restore"), "now"))).require()
    (found,) = record.listed("pve1", listed(tmp_path / "root").require().stdout)
    now = FactSheet("pve1", {RMEM: "performance", txqlen: "8"})

    assert found.overwrote == {RMEM: "1 2 3", txqlen: "7"}
    assert found.state_words == f"put itself back, over {RMEM} '1 2 3'; {txqlen} '7'"
    assert [RMEM in each for each in drift.overwritten([found], now)] == [True]
    assert drift.overwritten([found, _applied(at=2.0)], now) == ()
    with pytest.raises(WrongInput, match="nothing to take back; the last one, 00000000000a, put itself back, over"):
        returning.chosen("pve1", (found,), "")
    (place / "verified").unlink()
    (unseen,) = record.listed("pve1", listed(tmp_path / "root").require().stdout)
    assert unseen.overwrote == {}  # it may be what the kernel made of ours
