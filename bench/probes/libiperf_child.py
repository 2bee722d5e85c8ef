"""One end of one test by libiperf, through the `iperf3` wrapper: a program of its own that takes iperf3's own words.

Started by path with `python -P` (bench.probes.engine): this folder has an iperf3.py, which would hide the wrapper. The
wrapper takes over file descriptor 1 and reads its pipe only after the test, so that libiperf waits for ever once its
JSON fills the pipe: 64 KiB by default. The pipe is enlarged; bench.probes.engine refuses what would not fit then.
"""

import argparse
import ctypes
import fcntl
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import iperf3

PIPE_BYTES = 1 << 20  # the most that fs.pipe-max-size allows by default
_NOT_ABLE = 3  # exit code: the library, or what it can do, is not there

# What the wrapper has no property for: option -> (setter of libiperf, type of its value).
_SETTERS = {
    "cport": ("iperf_set_test_bind_port", ctypes.c_int),
    "interval": ("iperf_set_test_reporter_interval", ctypes.c_double),
    "congestion": ("iperf_set_test_congestion_control", ctypes.c_char_p),
    "window": ("iperf_set_test_socket_bufsize", ctypes.c_int),
    "set_mss": ("iperf_set_test_mss", ctypes.c_int),
    "bidir": ("iperf_set_test_bidirectional", ctypes.c_int),
}


def main(words: Sequence[str]) -> NoReturn:
    """Run the end that `words` ask for, its JSON document on standard output, and leave."""
    asked = _parser().parse_args(words)
    try:
        end = iperf3.Server(verbose=False) if asked.server else iperf3.Client(verbose=False)
    except OSError as error:
        print(error, file=sys.stderr)
        _leave(_NOT_ABLE)
    if asked.version:
        print(f"{end.iperf_version} (libiperf, wrapper {iperf3.iperf3.__version__})")
        _leave(0)
    try:
        fcntl.fcntl(end._pipe_in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # noqa: SLF001 - the wrapper offers no other way
    except OSError as error:
        print(f"a pipe of {PIPE_BYTES} bytes: {error.strerror}; fs.pipe-max-size allows it?", file=sys.stderr)
        _leave(_NOT_ABLE)
    end.bind_address, end.port = asked.bind, asked.port
    if asked.client:
        _client(end, asked)
    for option, (setter, kind) in _SETTERS.items():
        value = getattr(asked, option)
        if value:
            _set(end, setter, kind, value.encode() if isinstance(value, str) else value)
    _set(end, "iperf_set_test_stats_interval", ctypes.c_double, asked.interval)
    print(end.run().text)
    _leave(0)


def _client(end: "iperf3.Client", asked: argparse.Namespace) -> None:
    """What only a client is told, by the wrapper's own properties."""
    end.server_hostname, end.duration, end.num_streams = asked.client, asked.time, asked.parallel
    end.reverse, end.zerocopy = asked.reverse, asked.zerocopy
    if asked.zerocopy and not end.zerocopy:
        print("this libiperf has no zero copy (sendfile)", file=sys.stderr)
        _leave(_NOT_ABLE)
    if asked.length:
        end.blksize = asked.length


def _set(end: "iperf3.IPerf3", setter: str, kind: type, value: float | bytes) -> None:
    try:
        function = getattr(end.lib, setter)
    except AttributeError:
        print(f"{end.iperf_version}: libiperf has no {setter}", file=sys.stderr)
        _leave(_NOT_ABLE)
    function.argtypes, function.restype = (ctypes.c_void_p, kind), None
    function(end._test, value)  # noqa: SLF001 - the handle that the wrapper keeps


def _leave(code: int) -> NoReturn:
    """End without the wrapper's own end, which closes descriptors and the finished test a second time."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    """The words of iperf3 that nettune uses and libiperf can do; any other is an error."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--version", action="store_true")
    role.add_argument("--server", action="store_true")
    role.add_argument("--client", metavar="ADDRESS")
    for switch in ("json", "one-off", "reverse", "bidir", "zerocopy"):
        parser.add_argument(f"--{switch}", action="store_true")
    for number in ("port", "cport", "time", "length", "window", "set-mss"):
        parser.add_argument(f"--{number}", type=int)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--interval", type=float, default=0.1)
    parser.add_argument("--bind", default="*")
    parser.add_argument("--congestion")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
