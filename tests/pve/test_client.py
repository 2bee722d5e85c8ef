"""The client against the double: what it says of each failure, what it tries again, and tasks to their end."""

import hashlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from bench.pve import errors, reached, shells, wire
from bench.pve.client import Client
from bench.pve.containers import HOST_KEY
from bench.pve.errors import Forbidden, NotLoggedIn, PveFault, Refused, TaskFailed, Unreachable
from bench.pve.machines import Made
from bench.pve.wire import Https, Parameters, Reply
from tests.pve.faults import Faulty
from tests.pve.kit import Double, running

TOKEN = "bench@pve!net"  # noqa: S105 - a name


def token(double: Double) -> dict[str, str]:
    """A token that it knows, as fields of an Access."""
    double.tell("set", 0, "apitokens", {TOKEN: "5ecret"})
    return {"who": TOKEN, "secret": "5ecret"}


def failing(call: Any) -> PveFault:  # Any: a callable
    """The error that it raises."""
    with pytest.raises(PveFault) as caught:
        call()
    return caught.value


def test_password_and_token_log_in(double: Double) -> None:
    """A write needs the ticket's CSRF token; a token needs none."""
    for client in (double.client(), double.client(**token(double))):
        assert client.get("/version")["release"]
        client.post("/pools", {"poolid": f"p{id(client)}"})


def test_a_certificate_is_known_by_its_fingerprint_or_by_whom_it_is_signed(double: Double) -> None:
    """Any other one, and nothing is sent."""
    der = ssl.PEM_cert_to_DER_cert((double.folder / "fakepve.crt").read_text(encoding="utf-8"))
    right = hashlib.sha256(der).hexdigest()
    pinned = double.client(ca_file="", fingerprint=right)
    wrong = failing(lambda: double.client(ca_file="", fingerprint="00" * 32).get("/version"))
    seen = len(double.tell("requests"))
    nobody = failing(lambda: double.client(ca_file="").get("/version"))
    unseen = len(double.tell("requests")) == seen

    assert unseen
    assert pinned.get("/version")["release"]
    assert isinstance(wrong, Unreachable)
    assert "not the one with the fingerprint" in str(wrong)
    assert "signed by nobody who is known" in str(nobody)


def test_what_is_refused_says_why(double: Double) -> None:
    """Each field, the missing privilege, a wrong token; no secret stands in any of it."""
    bad = failing(
        lambda: double.client().post("/nodes/pve1/qemu", {"vmid": 100, "cores": "many", "net0": "virtio,bridge"})
    )
    double.tell("set", 0, "acl", {})
    double.tell("add_vm", 100, "vm1")
    denied = failing(lambda: double.client(**token(double)).post("/nodes/pve1/qemu/100/status/start"))
    wrong = failing(lambda: double.client(who=TOKEN, secret="0ther").get("/version"))  # noqa: S106 - of a double
    password = failing(lambda: double.client(secret="0ther").get("/version"))  # noqa: S106 - as above

    assert isinstance(bad, Refused)
    assert "cores" in bad.fields
    assert isinstance(denied, Forbidden)
    assert (denied.path, denied.privileges) == ("/vms/100", "VM.PowerMgmt")
    assert isinstance(wrong, NotLoggedIn)
    assert isinstance(password, NotLoggedIn)
    assert not any(secret in f"{each}{each.hint}" for each in (bad, denied, wrong, password)
                   for secret in ("5ecret", "0ther"))  # fmt: skip


def test_a_ticket_that_has_ended_is_renewed(double: Double) -> None:
    """In the middle of a long run."""
    client = double.client()
    client.get("/version")
    double.tell("revoke_tickets")

    assert client.get("/version")["release"]


@pytest.mark.parametrize(
    ("method", "status", "message", "tries"),
    [
        ("GET", 595, "No route to host", 3),
        ("GET", 596, "got timeout", 3),
        ("GET", 599, "Connection timed out", 3),
        ("POST", 595, "No route to host", 3),
        ("POST", 500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", 3),
        ("POST", 596, "Broken pipe", 1),
        ("POST", 599, "Connection timed out", 1),
        ("POST", 500, "unable to create VM 100", 1),
        ("GET", 500, "disk is bad", 1),
        ("GET", 501, "Method 'GET /nodes/pve1/qemu' not implemented", 1),
    ],
)
def test_what_was_surely_not_done_is_tried_again(
    double: Double, method: str, status: int, message: str, tries: int
) -> None:
    """Reads, nodes out of reach, locks; a write of which nobody knows whether it was done is raised at once."""
    client = double.client(**token(double))
    path = "/nodes/pve1/qemu"
    double.tell("fail", method, path, status, message, times=2)
    before = len(double.tell("requests"))
    given: Parameters = {"vmid": 100} if method == "POST" else {}
    if tries == 1:
        assert message in failing(lambda: client.whole(method, path, given)).said
    else:
        client.whole(method, path, given)

    assert len(double.tell("requests")) - before == tries


def test_a_task_is_waited_for_and_fails_with_the_end_of_its_log(double: Double) -> None:
    """One that ends well says nothing; an error is PVE's own words; one without an end is stopped."""
    client = double.client()
    double.tell("add_vm", 100, "vm1")
    double.tell("add_vm", 101, "vm2")
    double.tell("set", 101, "start_error", "no such disk")
    good = client.done("start", client.post("/nodes/pve1/qemu/100/status/start"), 10)
    bad = failing(lambda: client.done("start 101", client.post("/nodes/pve1/qemu/101/status/start"), 10))
    double.tell("set", 0, "time_scale", 1)
    double.tell("set", 100, "stop_secs", 60)
    endless = failing(lambda: client.done("stop 100", client.post("/nodes/pve1/qemu/100/status/stop"), 0.5))

    assert good.upid.startswith("UPID:pve1:")
    assert isinstance(bad, TaskFailed)
    assert "no such disk" in str(bad)
    assert "start 101" in str(bad)
    assert "did not end within 0.5 s and was stopped" in str(endless)


def test_a_node_that_is_down_is_told(double: Double) -> None:
    """Nobody listens; or the cluster cannot pass a call on."""
    double.tell("add_node", "pve2")
    double.tell("set_node_offline", "pve2")
    offline = failing(lambda: double.client().get("/nodes/pve2/qemu"))
    nobody = failing(lambda: double.client(port=1).get("/version"))

    assert isinstance(offline, Unreachable)
    assert offline.status == 595
    assert "cannot be reached" in str(nobody)


def test_what_stands_beside_an_answer_is_there(double: Double) -> None:
    """`whole` gives the reply's other members."""
    assert dict(double.client().whole("GET", "/version").more) == {}


def test_every_status_has_a_kind() -> None:
    """And every error a call and a status; a call that a version does not have is told as that."""
    kinds = {400: Refused, 401: NotLoggedIn, 403: Forbidden, 500: PveFault, 501: PveFault, 595: Unreachable,
             596: Unreachable, 599: Unreachable}  # fmt: skip
    for status, kind in kinds.items():
        found = errors.of("GET /x", status, "y", {})
        assert type(found) is kind
        assert found.status == status
        assert ("no such call" in found.hint) == (status == 501)


@pytest.mark.parametrize(("method", "tries"), [("GET", 6), ("POST", 1)])
def test_an_api_that_hangs_is_given_up(
    double: Double, monkeypatch: pytest.MonkeyPatch, method: str, tries: int
) -> None:
    """Each request has its time; a read is sent six times, a write, which may have been done, once."""
    monkeypatch.setattr(wire, "ANSWER_S", 0.2)
    sent = Faulty(Https(double.access(**token(double))), 0, "")
    double.tell("flaky_network", hang_rate=1.0)
    told = failing(lambda: Client(sent, sleep=lambda _: None).whole(method, "/pools"))

    assert isinstance(told, Unreachable)
    assert "in time" in told.said
    assert sent.sent == tries


def test_an_agent_of_proxmox_ve_7_is_asked_in_one_word(double: Double) -> None:
    """Its API refuses a command that is an array."""
    asked: list[Any] = []

    class Older(Faulty):
        def call(self, method: str, path: str, parameters: Parameters) -> Reply:
            if path.endswith("/agent/exec"):
                asked.append(parameters["command"])
                if not isinstance(asked[-1], str):
                    raise errors.of(f"{method} {path}", 400, "Parameter verification failed.",
                                    {"command": "type check ('string') failed"})  # fmt: skip
            return self.wire.call(method, path, parameters)

    double.tell("add_vm", 100, "nettune-a", status="running")
    double.tell("set", 100, "agent", {"exec": {f"cat {HOST_KEY}": {"out-data": "ssh-ed25519 AAAA root@nettune-a\n"}}})
    client = Client(Older(Https(double.access()), 0, ""), sleep=lambda _: None)
    with shells.opened({}) as none:
        key = reached.tells(client, none, Made("qemu", "pve1", 100, "nettune-a"), 10.0)()

    assert key == "ssh-ed25519 AAAA"
    assert asked == [("cat", HOST_KEY), f"cat {HOST_KEY}"]


# Every call that nettune sends, with one thing in it that the packaged schema does not have.
CALLS: list[tuple[str, str, dict[str, str | int]]] = [
    ("GET", "/version", {"nope": 1}),
    ("GET", "/nodes", {"nope": 1}),
    ("GET", "/pools", {"poolid": "a b"}),
    ("GET", "/access/permissions", {"path": "/", "nope": 1}),
    ("GET", "/cluster/resources", {"type": "guests"}),
    ("GET", "/cluster/nextid", {"vmid": 5}),
    ("GET", "/nodes/pve1/network", {"type": "bridges"}),
    ("GET", "/nodes/pve1/storage", {"enabled": "maybe"}),
    ("GET", "/nodes/pve1/storage/local/content", {"kind": "import"}),
    ("DELETE", "/nodes/pve1/storage/local/content/local:import/x.qcow2", {"nope": 1}),
    ("GET", "/nodes/pve1/tasks/{upid}/status", {"nope": 1}),
    ("GET", "/nodes/pve1/tasks/{upid}/log", {"limit": -1}),
    ("DELETE", "/nodes/pve1/tasks/{upid}", {"nope": 1}),
    ("POST", "/nodes/pve1/qemu", {"vmid": 101, "cores": 0}),
    ("POST", "/nodes/pve1/qemu", {"vmid": 101, "net0": "virtio,x=1"}),
    ("POST", "/nodes/pve1/qemu/100/clone", {"newid": 101, "hostname": "x"}),
    ("GET", "/nodes/pve1/qemu/100/config", {"current": "x"}),
    ("PUT", "/nodes/pve1/qemu/100/config", {"net0": "virtio,mtu=0"}),
    ("PUT", "/nodes/pve1/qemu/100/config", {"sshkeys": "ssh-ed25519 AAAA x"}),
    ("GET", "/nodes/pve1/qemu/100/status/current", {"nope": 1}),
    ("POST", "/nodes/pve1/qemu/100/status/start", {"nope": 1}),
    ("POST", "/nodes/pve1/qemu/100/status/stop", {"timeout": "soon"}),
    ("DELETE", "/nodes/pve1/qemu/100", {"purge": "so"}),
    ("POST", "/nodes/pve1/qemu/100/agent/exec", {}),
    ("GET", "/nodes/pve1/qemu/100/agent/exec-status", {"pid": "x"}),
    ("POST", "/nodes/pve1/lxc", {"vmid": 101, "ostemplate": "local:vztmpl/x.tar.zst", "name": "x"}),
    ("POST", "/nodes/pve1/lxc/102/clone", {"newid": 101, "name": "x"}),
    ("PUT", "/nodes/pve1/lxc/102/config", {"net0": "virtio,bridge=vmbr0"}),
    ("GET", "/nodes/pve1/lxc/102/config", {"nope": 1}),
    ("POST", "/nodes/pve1/lxc/102/status/start", {"nope": 1}),
    ("POST", "/nodes/pve1/lxc/102/status/stop", {"nope": 1}),
    ("DELETE", "/nodes/pve1/lxc/102", {"purge": "so"}),
]


@pytest.mark.parametrize(("method", "path", "given"), CALLS)
def test_the_double_refuses_what_the_schema_of_the_api_refuses(
    shared: Double, method: str, path: str, given: dict[str, str | int]
) -> None:
    """In each call that nettune sends: so a test that passes against it sent what Proxmox VE takes."""
    client = shared.client()
    upid = client.post("/nodes/pve1/qemu/103/status/start") if "{upid}" in path else ""
    before = shared.tell("guests")
    bad = failing(lambda: client.whole(method, path.format(upid=upid), given))

    assert isinstance(bad, Refused), bad
    assert bad.fields
    assert shared.tell("guests") == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """One for all, with a guest of each kind."""
    with running(tmp_path_factory.mktemp("shared")) as found:
        for vmid in (100, 103):
            found.tell("add_vm", vmid, f"vm{vmid}")
        found.tell("add_ct", 102, "ct102")
        yield found
