"""Versions of iperf3 at both ends: what they make of streams, and which pairs are refused. The strings are recorded."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.probes import versions
from bench.probes.iperf3 import Tcp
from bench.probes.udp import Udp
from bench.probes.versions import BAD_PAIRS, Use
from results.errors import NotAble

TCP = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0)
TOLD = {  # what `iperf3 --version` prints in its first line
    "iperf 3.1.3 (cJSON 1.5.2)": (3, 1, 3),
    "iperf 3.7 (cJSON 1.5.2)": (3, 7),
    "iperf 3.12 (cJSON 1.7.15)": (3, 12),
    "iperf 3.12 (libiperf, wrapper 0.1.11)": (3, 12),
    "iperf 3.17.1+ (cJSON 1.7.15)": (3, 17, 1),
    "iperf 3.20 (cJSON 1.7.15)": (3, 20),
    "iperf 3.21": (3, 21),
    "iperf version 2.1.8 (12 August 2022) pthreads": (),
    "": (),
}


def _told(version: str) -> str:
    return f"iperf {version} (cJSON 1.7.15)"


@pytest.mark.parametrize(("text", "version"), TOLD.items())
def test_a_version_is_read_from_the_first_line(text: str, version: tuple[int, ...]) -> None:
    """Numbers compare as numbers: 3.9 is older than 3.16."""
    assert versions.parse(text) == version


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30) | st.from_regex(r"iperf [0-9.+]{0,9}", fullmatch=True))
def test_whatever_a_tool_says_is_a_version_or_none(text: str) -> None:
    """No exception; what is read is written back."""
    version = versions.parse(text)

    assert all(number >= 0 for number in version)
    assert version == () or versions.parse(f"iperf {versions.shown(version)}") == version


@pytest.mark.parametrize(
    ("client", "server", "processes"),
    [("3.12", "3.12", 4), ("3.15", "3.16", 4), ("3.16", "3.9", 4), ("3.16", "3.16", 1), ("3.21", "3.17.1", 1)],
)
def test_streams_are_processes_where_one_end_has_one_thread(client: str, server: str, processes: int) -> None:
    """The older end decides; the version is named in the note and in the definition."""
    settled = replace(TCP, streams=4).settled(_told(client), _told(server))

    assert (settled.processes, settled.streams) == (processes, 4 // processes)
    assert (settled.note != "") == (processes > 1)
    if processes > 1:
        oldest = min(client, server, key=lambda each: versions.parse(_told(each)))
        assert f"because iperf3 {oldest} has one thread for all streams" in settled.note
        assert f"summed over 4 iperf3 processes (iperf3 {oldest} has one thread" in settled.definitions["goodput"]


def test_one_stream_is_one_process_and_processes_stay_what_they_are() -> None:
    """Nothing to settle."""
    assert TCP.settled(_told("3.1.3"), _told("3.1.3")) == TCP
    assert replace(TCP, processes=4).settled(_told("3.21"), _told("3.21")) == replace(TCP, processes=4)


BAD: dict[str, tuple[Use, str, str, str]] = {
    "UDP loss, 3.20": ("udp", "3.20", "3.12", "esnet/iperf #1984"),
    "UDP loss, 3.21": ("udp", "3.21", "3.1.3", "reports no loss where there is loss"),
    "client port bound twice": ("both", "3.11", "3.21", "esnet/iperf #1249"),
    "no --bidir at the server": ("both", "3.12", "3.6", "knows no --bidir"),
    "zero copy that is not told": ("zerocopy at the server", "3.10.1", "3.12", "does not tell the sending server"),
    "zero copy that is not heeded": ("zerocopy at the server", "3.12", "3.10.1", "does not heed"),
}


@pytest.mark.parametrize(("use", "client", "server", "words"), BAD.values(), ids=BAD)
def test_a_pair_that_is_known_to_be_bad_is_refused_by_name(use: Use, client: str, server: str, words: str) -> None:
    """Both versions, what goes wrong, the source."""
    with pytest.raises(NotAble) as raised:
        versions.check("x", {use}, versions.parse(_told(client)), versions.parse(_told(server)))

    assert f"probe x: iperf3 {client} at the client with {server} at the server: " in str(raised.value)
    assert words in str(raised.value)
    assert "one version of iperf3 at both ends" in raised.value.hint


GOOD: tuple[tuple[Use, str, str], ...] = (
    ("udp", "3.12", "3.12"), ("udp", "3.19.1", "3.12"), ("udp", "3.21", "3.13"), ("udp", "3.12", "3.21"),
    ("both", "3.12", "3.7"), ("both", "3.21", "3.12"), ("zerocopy at the server", "3.11", "3.11"),
)  # fmt: skip


@pytest.mark.parametrize(("use", "client", "server"), GOOD)
def test_other_pairs_are_let_pass(use: Use, client: str, server: str) -> None:
    """Neighbours of the bad ones, and the pair of Debian 12 with itself."""
    versions.check("x", {use}, versions.parse(_told(client)), versions.parse(_told(server)))


def test_a_udp_probe_meets_the_pairs_that_report_no_loss() -> None:
    """A client of 3.21 with a server of 3.12 (esnet/iperf #2055); any one version at both ends is fine."""
    udp = Udp("udp", 100.0, 1400, 1.0, 0.0, "forward")
    with pytest.raises(NotAble, match=r"probe udp: iperf3 3\.21 at the client with 3\.12 at the server"):
        udp.settled(_told("3.21"), _told("3.12"))

    assert udp.settled(_told("3.12"), _told("3.12")) == udp


def test_a_version_that_is_not_told_is_let_pass() -> None:
    """What is not known is no evidence."""
    for one, other in itertools.permutations(((), (3, 21), (3, 1)), 2):
        if not (one and other):
            versions.check("x", {bad.use for bad in BAD_PAIRS}, one, other)


@pytest.mark.parametrize(
    ("probe", "words"),
    [(replace(TCP, direction="both"), "--bidir"), (replace(TCP, direction="reverse", zerocopy=True), "--zerocopy")],
)
def test_a_probe_is_refused_for_what_it_uses(probe: Tcp, words: str) -> None:
    """And not for what it does not use."""
    with pytest.raises(NotAble, match=words):
        probe.settled(_told("3.6"), _told("3.6"))

    assert replace(TCP, zerocopy=True).settled(_told("3.6"), _told("3.6")).zerocopy
