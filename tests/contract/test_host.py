"""What every Host keeps: Local, a Namespace, SSH, and a transcript that was recorded from Local a moment before."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.hosts import remote_namespace
from bench.hosts.command import Command, CommandFailed, HostFault, Outcome, Overdue, Unreachable
from bench.hosts.host import Host, ask_everywhere, begun
from bench.hosts.local import Local, Process
from bench.hosts.namespace import Namespace, entered
from bench.hosts.recorded import Recorded, Recorder
from bench.hosts.remote_namespace import RemoteNamespace
from bench.hosts.shell import batch, unpack
from bench.hosts.ssh import Ssh, connected
from tests.netns import sshd

T = TypeVar("T")
HOSTILE = ("", " ", "'", '"', "\n", "$(touch /)", "`id`", ";", "&&", "|", "*", "~", "\\n", "%s", "-n", "ü", "\t", "$1")
WORDS = st.lists(st.text(st.sampled_from("".join(HOSTILE) + "aä\x01\x7f€"), max_size=8) | st.sampled_from(HOSTILE),
                 min_size=1, max_size=5)  # fmt: skip


# Answers what it is sent, $2 bytes, on TCP port 4567 and then on the unix socket $1.
_ECHO = """\
import socket, sys
ears = [socket.create_server(("127.0.0.1", 4567)), socket.socket(socket.AF_UNIX)]
ears[1].bind(sys.argv[1])
ears[1].listen()
print("up", flush=True)
for ear in ears:
    way, left = ear.accept()[0], int(sys.argv[2])
    while left:
        data = way.recv(65536)
        way.sendall(data)
        left -= len(data)
"""


class Through(Protocol):
    """Does something on the host of the contract and gives what came of it."""

    def __call__(self, act: Callable[[Host], T]) -> T:
        """What `act` gave on the host."""
        ...


def _sh(script: str, *, stdin: str = "", deadline_s: float = 10.0) -> Command:
    return Command(("sh", "-c", script), stdin=stdin, deadline_s=deadline_s)


def _gone(pid: int) -> bool:
    """True once the process has ended; it is given the moment that the kernel takes to deliver a signal."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


class HostContract:
    """The points of bench.hosts.host that hold whatever the host is."""

    @pytest.fixture
    def through(self, tmp_path: Path) -> Iterator[Through]:
        """Each host brings its own."""
        raise NotImplementedError  # a contract is tested through those who keep it

    @pytest.mark.parametrize("code", [0, 1, 77, 255])
    def test_the_exit_code_is_kept(self, through: Through, code: int) -> None:
        """A host judges nothing: every exit code is an Outcome."""
        outcome = through(lambda host: host.run(_sh(f"exit {code}")))

        assert (code, code == 0) == (outcome.returncode, outcome.ok)

    def test_the_two_streams_are_kept_apart(self, through: Through) -> None:
        """Standard output and standard error never mix, and nothing is added to either."""
        outcome = through(lambda host: host.run(_sh("printf out; printf err >&2; printf ' more'")))

        assert (outcome.stdout, outcome.stderr) == ("out more", "err")

    def test_stdin_arrives_whole(self, through: Through) -> None:
        """What stands in stdin reaches the program byte for byte."""
        text = "one\n'two' $three\n\tfour ü"
        outcome = through(lambda host: host.run(Command(("cat",), stdin=text)))

        assert text == outcome.stdout

    def test_without_stdin_the_end_of_file_comes_at_once(self, through: Through) -> None:
        """A program that reads does not wait for a terminal."""
        outcome = through(lambda host: host.run(Command(("cat",))))

        assert (outcome.returncode, outcome.stdout) == (0, "")

    def test_an_unknown_program_gives_127(self, through: Through) -> None:
        """A missing tool is an Outcome like any other, alone and in a batch, and its hint asks for the tool."""
        command = Command(("nettune-no-such-program", "--version"))
        alone = through(lambda host: host.run(command))
        together = through(lambda host: host.run_all([command, Command(("true",))]))

        assert [alone.returncode, *(each.returncode for each in together)] == [127, 127, 0]
        with pytest.raises(CommandFailed, match="nettune-no-such-program") as raised:
            alone.require()
        assert f"is nettune-no-such-program installed on {alone.host}?" == raised.value.hint

    def test_a_signal_is_a_negative_returncode(self, through: Through) -> None:
        """The reader of an Outcome can tell a crash from an exit code."""
        outcome = through(lambda host: host.run(_sh("kill -9 $$")))

        assert outcome.returncode == -9
        with pytest.raises(CommandFailed, match="was ended by signal 9"):
            outcome.require()

    def test_output_that_is_no_utf8_survives(self, through: Through) -> None:
        """A tool that prints garbage is shown with its garbage, never fatal."""
        outcome = through(lambda host: host.run(_sh(r"printf 'a\377\376z'; printf 'e\200' >&2")))

        assert (outcome.stdout, outcome.stderr) == (r"a\xff\xfez", r"e\x80")

    def test_large_output_does_not_block(self, through: Through) -> None:
        """Five megabytes on each stream come through whole."""
        script = "head -c 5000000 /dev/zero | tr '\\0' x; head -c 5000000 /dev/zero | tr '\\0' y >&2"
        outcome = through(lambda host: host.run(_sh(script, deadline_s=60)))

        assert (outcome.stdout.count("x"), outcome.stderr.count("y")) == (5_000_000, 5_000_000)

    def test_the_locale_is_fixed(self, through: Through) -> None:
        """Parsers read English and decimal points, whatever the operator's language."""
        outcome = through(lambda host: host.run(_sh("printf %s $LC_ALL")))

        assert outcome.stdout == "C.UTF-8"

    def test_a_deadline_of_many_years_is_none(self, through: Through) -> None:
        """A very late deadline waits like any other."""
        outcome = through(lambda host: host.run(Command(("true",), deadline_s=1e12)))

        assert outcome.returncode == 0

    def test_a_deadline_ends_the_whole_process_group(self, through: Through) -> None:
        """Child and child's child go too, also those that ignore SIGTERM; the error names host and command."""
        script = "(trap '' TERM; sleep 321 & echo $!; wait) & (sleep 321 & echo $!; wait) & wait"

        def act(host: Host) -> tuple[str, Overdue]:
            with pytest.raises(Overdue) as raised:
                host.run(_sh(script, deadline_s=0.2))
            return host.name, raised.value

        name, error = through(act)
        pids = [int(word) for word in error.outcome.stdout.split()]

        assert len(pids) == 2
        assert [_gone(pid) for pid in pids] == [True, True]
        assert f"on {name}: `sh -c " in str(error)
        assert "did not end within 0.2 s" in str(error)

    def test_what_a_command_leaves_behind_is_ended_with_it(self, through: Through) -> None:
        """A process in the background does not outlive the command that started it."""
        outcome = through(lambda host: host.run(_sh("sleep 321 >&2 & echo $!")))

        assert _gone(int(outcome.stdout))

    def test_run_all_keeps_the_order_and_goes_on_after_a_failure(self, through: Through) -> None:
        """Each command has its own Outcome, in the order asked, with its own streams."""
        commands = [
            _sh("printf first; printf warned >&2; exit 3"),
            Command(("cat",), stdin="second 'and' $more\n"),
            _sh("echo third; exit 0"),
            Command(("false",)),
            Command(("printf", "%s", "no newline")),
        ]
        outcomes = through(lambda host: host.run_all(commands))

        assert tuple(commands) == tuple(each.command for each in outcomes)
        assert [each.returncode for each in outcomes] == [3, 0, 0, 1, 0]
        assert [each.stdout for each in outcomes] == ["first", "second 'and' $more\n", "third\n", "", "no newline"]
        assert [each.stderr for each in outcomes] == ["warned", "", "", "", ""]

    def test_a_batch_carries_much_output_and_a_late_deadline(self, through: Through) -> None:
        """Two megabytes of each command come through; a deadline of many years is none."""
        much = Command(("sh", "-c", "head -c 2000000 /dev/zero | tr '\\0' x"), deadline_s=1e12)
        outcomes = through(lambda host: host.run_all([much, Command(("echo", "two"), deadline_s=1e12), much]))

        assert [len(each.stdout) for each in outcomes] == [2_000_000, 4, 2_000_000]

    def test_commands_begun_are_awaited_in_order(self, through: Through) -> None:
        """Each has its Outcome, those after a failure too; nothing asked is nothing answered."""
        commands = [_sh("printf one; exit 5"), Command(("echo", "two"))]

        outcomes, none = through(lambda host: (begun(host, commands)(), begun(host, [])()))

        assert [(each.returncode, each.stdout) for each in outcomes] == [(5, "one"), (0, "two\n")]
        assert none == ()

    def test_run_all_of_nothing_and_of_one(self, through: Through) -> None:
        """No command gives no Outcome; one gives what `run` gives."""
        empty, single = through(lambda host: (host.run_all([]), host.run_all([_sh("printf one; exit 5")])))

        assert empty == ()
        assert [(each.returncode, each.stdout) for each in single] == [(5, "one")]

    @pytest.mark.parametrize(
        "argv",
        [("exit", "3"), ("cd", "/"), ("if", "true"), ("A=b", "printenv", "A"), ("echo", r"a\nb"), ("set", "--", "x"),
         ("return", "1"), ("exec", "true"), ("export", "A=b"), ("fi",), ("{",), ("!",)],
        ids=lambda argv: argv[0],
    )  # fmt: skip
    def test_a_batch_runs_programs_and_no_words_of_the_shell(self, through: Through, argv: tuple[str, ...]) -> None:
        """A name means the same alone and in a batch, and can neither end nor change the shell that runs it."""
        asked = [Command(argv), _sh('pwd; printf %s "$A $#"', stdin="x")]
        alone, together = through(lambda host: ([host.run(each) for each in asked], host.run_all(asked)))

        assert [(each.returncode, each.stdout) for each in alone] == [(e.returncode, e.stdout) for e in together]

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(words=WORDS)
    def test_hostile_arguments_come_through_unharmed(self, through: Through, words: list[str]) -> None:
        """No shell ever reads an argument: alone, in a batch, and beside a stdin."""
        command = Command(("printf", "%s|", *words), stdin="".join(words))
        outcomes = through(lambda host: (host.run(command), *host.run_all([command, command])))

        assert ["".join(f"{word}|" for word in words)] * 3 == [each.stdout for each in outcomes]

    def test_a_started_command_gives_its_outcome_once_it_ends(self, through: Through) -> None:
        """After wait it is finished, its output can still be read, and stop is harmless."""

        def act(host: Host) -> tuple[Outcome, bool, str, Outcome]:
            with host.start(_sh("printf started; exit 4")) as job:
                return job.wait(), job.finished(), job.output(), job.stop()

        ended, finished, output, stopped = through(act)

        assert (ended.returncode, ended.stdout) == (4, "started")
        assert (finished, output) == (True, "started")
        assert ended == stopped

    def test_secrets_are_masked_wherever_a_command_is_shown(self, through: Through) -> None:
        """The secret reaches the program; neither the command's line nor an error holds it."""
        command = Command(("sh", "-c", "cat >&2; exit 1"), stdin="token hunter2", secrets=("hunter2",))
        outcome = through(lambda host: host.run(command))
        with pytest.raises(CommandFailed) as raised:
            outcome.require()

        assert "hunter2" not in str(command)
        assert "hunter2" not in str(raised.value)
        assert "token ***" in str(raised.value)

    def test_a_large_standard_input_arrives_whole_among_others(self, through: Through) -> None:
        """15,000 nft rules are 340 KB; an argument of a shell may have 128 KiB."""
        text = "th sport 4096 drop\n" * 15_000
        commands = [Command(("wc", "-c"), stdin=text), Command(("printf", "%s", "two"))]
        first, second = through(lambda host: host.run_all(commands))

        assert (first.stdout.strip(), second.stdout) == (str(len(text)), "two")

    def test_a_command_with_a_secret_is_never_put_in_a_batch(self, through: Through) -> None:
        """In a batch its stdin would stand in the arguments, so run_all runs such commands one by one."""
        commands = [Command(("cat",), stdin="hunter2", secrets=("hunter2",)), Command(("printf", "%s", "two"))]
        first, second = through(lambda host: host.run_all(commands))

        assert second.stdout == "two"
        assert first.ok
        with pytest.raises(ValueError, match="cannot be batched"):
            batch(commands)

    def test_every_host_is_asked_at_the_same_time(self, through: Through) -> None:
        """ask_everywhere gives each host's Outcomes in the order of its questions."""
        questions = (_sh("printf one"), _sh("printf two; exit 2"))
        answers = through(lambda host: ask_everywhere({host: questions})[host])

        assert [(each.returncode, each.stdout) for each in answers] == [(0, "one"), (2, "two")]


class LivingHostContract(HostContract):
    """What only a host with real processes can show."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        """Each host brings its own."""
        raise NotImplementedError  # a contract is tested through those who keep it

    @pytest.fixture
    def through(self, host: Host) -> Through:
        """The host itself."""

        def directly(act: Callable[[Host], T]) -> T:
            return act(host)

        return directly

    def test_a_server_runs_until_it_is_stopped(self, host: Host) -> None:
        """Its output can be read meanwhile; stop ends it with SIGTERM and gives what it had printed."""
        with host.start(_sh("echo ready; exec sleep 321")) as job:
            while not job.output():
                time.sleep(0.001)
            before = job.finished()
            outcome = job.stop()

        assert (before, job.output()) == (False, "ready\n")
        assert (outcome.returncode, outcome.stdout, job.finished()) == (-15, "ready\n", True)

    def test_leaving_the_context_ends_it(self, host: Host) -> None:
        """Also when an error passes through, and also when it had asked whether it had finished."""
        with contextlib.suppress(KeyError), host.start(_sh("sleep 321 & echo $!; wait")) as job:
            while not job.output():
                time.sleep(0.001)
            raise KeyError

        assert _gone(int(job.output()))

    def test_a_server_that_ended_by_itself_takes_its_children_along(self, host: Host) -> None:
        """The leader's end, noticed by finished(), does not save the rest of the group."""
        with host.start(_sh("(trap '' TERM; exec sleep 321) & echo $!")) as job:
            while not job.finished():
                time.sleep(0.001)

        assert _gone(int(job.output()))

    def test_a_batch_that_is_overdue_is_ended_and_the_next_one_runs(self, host: Host) -> None:
        """A command that hangs takes neither the host nor the following batch with it."""
        echo = Command(("echo", "x"))
        hanging = _sh("sleep 321 & echo $!; wait", deadline_s=0.1)
        with pytest.raises(Overdue) as raised:
            host.run_all([hanging, Command(("true",), deadline_s=0.1)])
        after = host.run_all([echo, echo])

        assert _gone(int(raised.value.outcome.stdout))
        assert [each.stdout for each in after] == ["x\n", "x\n"]

    def test_two_batches_at_once_do_not_mix(self, host: Host) -> None:
        """Each has its own answers, whichever ends first."""
        slow, quick = (
            [_sh(f"{nap}printf {word}"), Command(("printf", "%s", word))]
            for nap, word in (("sleep 0.1; ", "a"), ("", "b"))
        )
        with host.start(batch(slow)) as first, host.start(batch(quick)) as second:
            answers = unpack(quick, second.wait()), unpack(slow, first.wait())

        assert [[each.stdout for each in listed] for listed in answers] == [["b", "b"], ["a", "a"]]

    def test_a_deadline_given_to_wait_is_the_one_that_is_named(self, host: Host) -> None:
        """The error says how long was really waited."""
        with (
            host.start(Command(("sleep", "321"), deadline_s=300)) as job,
            pytest.raises(Overdue, match=r"within 0.05 s"),
        ):
            job.wait(0.05)


class TestLocal(LivingHostContract):
    """This machine."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        """No preparation."""
        yield Local()  # noqa: PT022 - as the other hosts do

    def test_a_host_that_cannot_start_leaves_no_process_on_the_others(self) -> None:
        """When one host of many is gone, what was started on the others is ended."""
        started: list[int] = []

        class Noting(Local):
            def start(self, command: Command) -> Process:
                job = super().start(command)
                started.append(job.pid)
                return job

        class Gone(Local):
            def start(self, command: Command) -> Process:
                raise Unreachable("gone")

        with pytest.raises(Unreachable):
            ask_everywhere({Noting(): (Command(("sleep", "321"), deadline_s=400),), Gone(): (Command(("true",)),)})

        assert [_gone(pid) for pid in started] == [True]


@pytest.mark.netns
class TestNamespace(LivingHostContract):
    """A network namespace with a mount namespace and sysfs of its own."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        """A throwaway namespace with one veth pair."""
        if os.geteuid() != 0 and os.environ.get("CI") != "true":
            pytest.skip("network namespaces need root")
        name = f"nt-test-{secrets.token_hex(4)}"
        Local().run(Command(("ip", "netns", "add", name))).require()
        try:
            with entered("inside", name) as host:
                yield host
        finally:
            Local().run(Command(("ip", "netns", "delete", name))).require()

    def test_sysfs_and_netlink_show_the_same_namespace(self, host: Host) -> None:
        """The interface index is one number, whoever is asked, and the machine's own devices are not seen."""
        host.run(Command(("ip", "link", "add", "nt-probe", "type", "veth", "peer", "name", "nt-peer"))).require()
        shown, index, devices = host.run_all(
            [
                Command(("ip", "-o", "link", "show", "nt-probe")),
                Command(("cat", "/sys/class/net/nt-probe/ifindex")),
                Command(("ls", "/sys/class/net")),
            ]
        )

        assert index.stdout.strip() == shown.stdout.partition(":")[0]
        assert {"lo", "nt-peer", "nt-probe"} == set(devices.stdout.split())
        assert not Path("/sys/class/net/nt-probe").exists()

    def test_it_is_unreachable_once_its_holder_died(self, host: Host) -> None:
        """Nothing is run in another namespace by mistake: every way in says that the host is gone."""
        assert isinstance(host, Namespace)
        host._holder.stop()

        for act in (
            lambda: host.run(Command(("true",))),
            lambda: host.run_all([Command(("true",))]),
            lambda: host.start(Command(("true",))),
        ):
            with pytest.raises(Unreachable, match=host.netns):
                act()

    def test_a_namespace_that_is_not_there_cannot_be_entered(self) -> None:
        """The error names the namespace, and what came back."""
        with pytest.raises(HostFault, match="nt-test-none cannot be entered"), entered("x", "nt-test-none"):
            pass


@pytest.fixture(scope="module")
def over_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    """OpenSSH's sshd in a namespace of its own, logged in as root by a key, the host key pinned; one for all tests."""
    sshd.skip_where_it_cannot_run()
    with (
        sshd.namespace() as inside,
        sshd.serving(inside, tmp_path_factory.mktemp("sshd")) as server,
        connected("over-ssh", server.login, dial=inside.dial) as host,
    ):
        yield host


@pytest.mark.netns
class TestSsh(LivingHostContract):
    """A real sshd, over one connection that all these tests keep: what one command leaves must not reach the next."""

    @pytest.fixture
    def host(self, over_ssh: Host) -> Iterator[Host]:
        """The kept one."""
        yield over_ssh  # noqa: PT022 - as the other hosts do


@pytest.mark.netns
class TestRemoteNamespace(LivingHostContract):
    """A namespace of a machine behind sshd, as a node has one."""

    @pytest.fixture
    def host(self, over_ssh: Ssh) -> Iterator[Host]:
        """A throwaway namespace there."""
        name = f"nt-test-{secrets.token_hex(4)}"
        over_ssh.run(Command(("ip", "netns", "add", name))).require()
        try:
            with remote_namespace.entered(over_ssh, "inside", name) as host:
                yield host
        finally:
            over_ssh.run(Command(("ip", "netns", "delete", name))).require()

    def test_sysfs_and_netlink_show_the_same_namespace(self, host: Host) -> None:
        """As of a namespace here; and its name is in what a failure says."""
        host.run(Command(("ip", "link", "add", "nt-probe", "type", "veth", "peer", "name", "nt-peer"))).require()
        shown, index, devices = host.run_all(
            [
                Command(("ip", "-o", "link", "show", "nt-probe")),
                Command(("cat", "/sys/class/net/nt-probe/ifindex")),
                Command(("ls", "/sys/class/net")),
            ]
        )
        with pytest.raises(CommandFailed, match=r"on inside: `false`"):
            host.run(Command(("false",))).require()

        assert index.stdout.strip() == shown.stdout.partition(":")[0]
        assert {"lo", "nt-peer", "nt-probe"} == set(devices.stdout.split())
        assert not host.local

    def test_it_is_unreachable_once_its_holder_died(self, host: Host) -> None:
        """Nothing is run on the machine itself, or in another namespace, by mistake."""
        assert isinstance(host, RemoteNamespace)
        host._holder.stop()

        for act in (
            lambda: host.run(Command(("true",))),
            lambda: host.run_all([Command(("true",))]),
            lambda: host.start(Command(("true",))),
            lambda: host.dial("127.0.0.1", 1),
        ):
            with pytest.raises(Unreachable, match=host.netns):
                act()

    def test_a_namespace_that_is_not_there_cannot_be_entered(self, over_ssh: Ssh) -> None:
        """The error names machine and namespace, and what came back."""
        with (
            pytest.raises(HostFault, match=r"on over-ssh: namespace nt-test-none cannot be entered: .*No such file"),
            remote_namespace.entered(over_ssh, "x", "nt-test-none"),
        ):
            pass

    @pytest.mark.parametrize("tools", ["socat", "python3", "nc"])
    def test_a_port_inside_is_reached_by_whatever_tool_is_there(self, host: Host, tools: str, tmp_path: Path) -> None:
        """A quarter of a megabyte there and back unchanged, over TCP and over a unix socket."""
        assert isinstance(host, RemoteNamespace)
        if shutil.which(tools, path="/usr/bin:/bin") is None:
            pytest.skip(f"not installed: {tools}")
        (tmp_path / "bin").mkdir()
        for name in ("sh", tools):
            (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
        path = ("env", f"PATH={tmp_path / 'bin'}")
        host._inside = host._inside.inside("inside", path)
        host.run(Command(("/usr/sbin/ip", "link", "set", "lo", "up"))).require()
        content = bytes(range(256)) * 1024
        echo = Command(("/usr/bin/python3", "-c", _ECHO, str(tmp_path / "socket"), str(len(content))), deadline_s=60)
        got = []
        with host.start(echo) as job:
            while "up" not in job.output():
                assert not job.finished(), job.stop().stderr
                time.sleep(0.01)
            for way in (host.dial("127.0.0.1", 4567), host.dial_file(str(tmp_path / "socket"))):
                way.settimeout(20)
                way.sendall(content)
                received = b""
                while len(received) < len(content) and (piece := way.recv(65536)):
                    received += piece
                got.append(received)
                way.close()

        assert got == [content, content]


class TestRecorded(HostContract):
    """A transcript, made from Local by the same commands a moment before."""

    @pytest.fixture
    def through(self, tmp_path: Path) -> Through:
        """Record, save, load, replay."""

        def recorded(act: Callable[[Host], T]) -> T:
            path = tmp_path / "transcript.json"
            recorder = Recorder(Local())
            act(recorder)
            recorder.save(path)
            return act(Recorded(path))

        return recorded

    def test_what_was_not_recorded_is_refused_by_name(self, tmp_path: Path) -> None:
        """A transcript never makes an answer up."""
        Recorder(Local()).save(tmp_path / "empty.json")

        with pytest.raises(HostFault, match=r"`true` is not in the transcript empty\.json"):
            Recorded(tmp_path / "empty.json").run(Command(("true",)))

    def test_equal_commands_get_their_answers_in_order_the_last_one_again_and_again(self, tmp_path: Path) -> None:
        """A polling loop replays as it went."""
        counter = tmp_path / "counter"
        command = _sh(f"printf x >> {counter}; cat {counter}")
        recorder = Recorder(Local())
        for _ in range(3):
            recorder.run(command)
        recorder.save(tmp_path / "t.json")
        host = Recorded(tmp_path / "t.json")

        assert [host.run(command).stdout for _ in range(5)] == ["x", "xx", "xxx", "xxx", "xxx"]

    def test_a_transcript_holds_no_secret(self, tmp_path: Path) -> None:
        """Stdin and output are masked on disk."""
        recorder = Recorder(Local())
        recorder.run(Command(("cat",), stdin="hunter2", secrets=("hunter2",)))
        recorder.save(tmp_path / "t.json")

        assert "hunter2" not in (tmp_path / "t.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "words"),
    [((), "without argv"), (("tool", "--password=hunter2"), "a secret in the arguments of tool"), (("a\0b",), "NUL")],
)
def test_a_command_that_must_not_be_is_not_made(argv: tuple[str, ...], words: str) -> None:
    """No argv, a secret where `ps` shows it, a byte that no argument can hold."""
    with pytest.raises(ValueError, match=words):
        Command(argv, secrets=("hunter2",))


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan")])
def test_a_deadline_lies_in_the_future(deadline_s: float) -> None:
    """A deadline of nothing is a mistake of ours."""
    with pytest.raises(ValueError, match="deadline"):
        Command(("true",), deadline_s=deadline_s)


def test_the_line_of_a_command_does_the_same_when_pasted() -> None:
    """--dry-run and errors print what a shell takes."""
    command = Command(("printf", "%s", "a b", "$c"), stdin="it's")

    assert str(command) == "printf %s 'it'\"'\"'s' | printf %s 'a b' '$c'"
