"""The threads under guests: which carry packets, how long each ran, and that any name of a thread is read."""

from hypothesis import given
from hypothesis import strategies as st

from bench.facts.carriers import busiest, is_question, parse, question
from tests.unit.bench.recorded import answered


def _stat(thread: int, name: str, user: int, system: int) -> str:
    return f"{thread} ({name}) S 1 {thread} 1 0 -1 4194304 1 0 0 0 {user} {system} 0 0 20 0 9 0 1 2 3\n"


def test_main_loop_vhost_and_io_threads_are_told_by_guest() -> None:
    """Those of its CPUs and workers are not: what they do is the guest's own."""
    text = (
        "guest a.pid 100\n" + _stat(100, "qemu-system-x86", 5, 6) + _stat(101, "CPU 0/KVM", 900, 0)
        + _stat(104, "IO mon_iothread", 3, 3) + _stat(102, "vhost-100", 0, 70) + _stat(103, "worker", 8, 8)
        + "guest 9001.pid 200\n" + _stat(200, "kvm", 1, 1) + _stat(201, "IO iothread1", 3, 4)
    )  # fmt: skip

    assert parse(answered(text)) == {
        "guest a: main loop": 11,
        "guest a: vhost-100 (102)": 70,
        "guest 9001: main loop": 2,
        "guest 9001: IO iothread1 (201)": 7,
    }


def test_the_busiest_is_told_with_its_share() -> None:
    """Ticks of a hundredth of a second; none where nothing was asked or nothing grew."""
    assert busiest({"guest a: vhost-100": 190, "guest b: main loop": 30}, 2.0, hertz=100) == {
        "busiest_carrier": {"thread": "guest a: vhost-100", "share": 0.95}
    }
    assert busiest({}, 2.0, hertz=100) == {}


def test_its_question_is_known_by_its_answer() -> None:
    """However many guests there are."""
    assert is_question(answered("", argv=question(("/run/a.pid", "/run/b.pid")).argv))
    assert not is_question(answered("", argv=("tail", "-v")))


@given(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=12), st.integers(0, 10**9))
def test_a_thread_may_have_any_name(name: str, ticks: int) -> None:
    """Brackets and blanks too (prctl PR_SET_NAME takes all bytes)."""
    assert parse(answered("guest a.pid 7\n" + _stat(7, name, ticks, 1))) == {"guest a: main loop": ticks + 1}


@given(st.text(max_size=200))
def test_any_answer_is_read_or_left_out(text: str) -> None:
    """A guest that ends meanwhile cuts a line short."""
    assert isinstance(parse(answered(text)), dict)
