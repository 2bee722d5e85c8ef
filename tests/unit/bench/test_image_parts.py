"""The pure parts of an image: recipe, module order, tree, initrd, seed, and what apt is asked."""

import io
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.images import archive, build, kernel, modules, recipe, seed, sources
from bench.images.disk import DISK_KIND
from bench.images.disk_recipe import DISK
from bench.images.squash import LAB_KIND
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost

# -- recipe ------------------------------------------------------------------------------------------------------------
CHANGES: Mapping[str, Any] = {  # Any: values of as many types as the recipe has
    "packages": ("iperf3",),
    "kernel": "linux-image-amd64",
    "initrd_modules": (),
    "kept_modules": ("net/",),
    "dropped": (),
    "own_files": (),
    "own_links": (),
    "own_folders": (),
    "initrd_init": "inittab",
    "epoch_s": 1,
    "compression": ("-comp", "xz"),
    "cmdline": "quiet",
    "format": 0,
    "fetched": ("grub-common", "fping"),
    "layout": (("size", 1),),
}


def test_every_part_of_a_recipe_is_in_its_digest() -> None:
    """A part that is added is added to the table above, too."""
    assert {field.name for field in fields(recipe.Recipe)} == set(CHANGES)


@pytest.mark.parametrize("each", [recipe.LAB, DISK], ids=["lab", "disk"])
@pytest.mark.parametrize("name", CHANGES)
def test_the_recipes_digest_changes_with_everything_in_it(each: recipe.Recipe, name: str) -> None:
    """Another package, module, file, date: another image."""
    assert replace(each, **{name: CHANGES[name]}).digest() != each.digest()


@pytest.mark.parametrize("name", sorted(path.name for path in files("bench.images").joinpath("files").iterdir()))
def test_a_recipes_digest_changes_with_each_of_the_guests_files(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A changed line of an init script is never served from an older image; no file lies there unused."""
    before = recipe.LAB.digest(), DISK.digest()
    text = recipe.text
    monkeypatch.setattr(recipe, "text", lambda asked: text(asked) + ("# more\n" if asked == name else ""))

    assert (recipe.LAB.digest(), DISK.digest()) != before


# -- modules -----------------------------------------------------------------------------------------------------------
@st.composite
def _trees(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """modules.dep of an acyclic tree: each module needs some of those before it, and lists nearest first."""
    count = draw(st.integers(1, 12))
    paths = [f"kernel/{'net' if n % 2 else 'lib'}/m-{n}.ko{draw(st.sampled_from(('', '.xz')))}" for n in range(count)]
    needs: dict[str, tuple[str, ...]] = {}
    for number, path in enumerate(paths):
        direct = draw(st.sets(st.integers(0, number - 1))) if number else set()
        closure = {paths[n] for n in direct} | {below for n in direct for below in needs[paths[n]]}
        needs[path] = tuple(sorted(closure, key=paths.index, reverse=True))
    return needs


@given(_trees(), st.data())
def test_every_module_is_loaded_once_and_after_all_it_needs(
    needs: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """For insmod resolves nothing: what it is given must find its symbols there."""
    wanted = data.draw(st.lists(st.sampled_from(sorted(needs)), unique=True))
    order = modules.load_order([modules.name(path) for path in wanted], needs, ())

    assert len(set(order)) == len(order)
    assert set(order) == set(wanted).union(*(needs[path] for path in wanted))
    assert all(order.index(need) < order.index(path) for path in order for need in needs[path])


@given(_trees())
def test_what_is_kept_of_the_modules_lacks_nothing(needs: dict[str, tuple[str, ...]]) -> None:
    """All below the folders, and all that those need, and nothing else."""
    kept = modules.kept(("net/",), needs)

    assert {path for path in needs if path.startswith("kernel/net/")} <= kept
    assert all(set(needs[path]) <= kept for path in kept)
    assert all(
        path.startswith("kernel/net/") or any(path in needs[each] for each in kept if each.startswith("kernel/net/"))
        for path in kept
    )


def test_a_line_of_modules_dep_is_read_and_what_is_built_in_is_not_loaded() -> None:
    """The kernel's own spelling; overlay is built into some kernels."""
    needs = modules.dependencies(
        "kernel/a/virtio_blk.ko: kernel/a/virtio.ko kernel/a/virtio-ring.ko\nkernel/a/virtio.ko:\n"
    )

    assert needs == {
        "kernel/a/virtio_blk.ko": ("kernel/a/virtio.ko", "kernel/a/virtio-ring.ko"),
        "kernel/a/virtio.ko": (),
    }
    assert modules.load_order(["virtio_blk", "overlay"], needs, ["kernel/fs/overlayfs/overlay.ko"]) == (
        "kernel/a/virtio-ring.ko",
        "kernel/a/virtio.ko",
        "kernel/a/virtio_blk.ko",
    )
    with pytest.raises(KeyError, match="squashfs"):
        modules.load_order(["squashfs"], needs, [])


# -- the tree ----------------------------------------------------------------------------------------------------------
def _tree(entries: Mapping[str, bytes]) -> tarfile.TarFile:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid = len(content), 1_700_000_000, 7
            tar.addfile(member, io.BytesIO(content))
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()))


@dataclass(frozen=True, slots=True)
class _Member:
    mode: int
    uid: int
    mtime_s: float
    content: bytes


def _merged(tree: Mapping[str, bytes], *own: archive.Entry, of: recipe.Recipe = recipe.LAB) -> dict[str, _Member]:
    out = io.BytesIO()
    with _tree(tree) as source, tarfile.open(fileobj=out, mode="w") as target:
        archive.merge(source, own, target, of.dropped)
    out.seek(0)
    with tarfile.open(fileobj=out) as made:
        return {
            each.name: _Member(
                each.mode, each.uid, each.mtime, content.read() if (content := made.extractfile(each)) else b""
            )
            for each in made
        }


MACHINES = {
    "./etc/apt/sources.list": b"deb https://mirror.example/ x main",
    "./etc/apt/apt.conf.d/99mmdebstrap": b'Acquire::http::Proxy "http://proxy.example";',
    "./etc/ssh/ssh_host_rsa_key": b"key",
    "./etc/ssh/sshd_config": b"theirs",
    "./etc/hostname": b"builder",
    "./etc/resolv.conf": b"nameserver 192.0.2.1",
    "./etc/machine-id": b"1",
    "./var/lib/dbus/machine-id": b"1",
    "./var/lib/systemd/random-seed": b"x",
    "./boot/linux-image.deb": b"!",
    "./var/log/dpkg.log": b"today",
    "./usr/bin/iperf3": b"elf",
}


def test_a_merged_tree_has_nothing_of_the_machine_and_one_date() -> None:
    """No mirrors, host keys, names or logs; owners stay; our own files replace Debian's."""
    more = {"./var/lib/dbus/machine-id"}  # the lab's image has no dbus
    tree = {name: content for name, content in MACHINES.items() if name not in more}
    made = _merged(tree, archive.file("etc/ssh/sshd_config", b"ours", 0o644))

    assert {name: each.content for name, each in made.items()} == {
        "usr/bin/iperf3": b"elf",
        "etc/ssh/sshd_config": b"ours",
    }
    assert made["usr/bin/iperf3"].uid == 7
    assert {each.mtime_s for each in made.values()} == {recipe.EPOCH_S}


def test_a_disk_has_nothing_of_the_machine_and_a_working_dpkg() -> None:
    """Also none of its ids for dbus, no seed of random numbers; what dpkg and apt need to go on stays."""
    kept = {"./var/lib/dpkg/info/iperf3.list": b"/usr/bin/iperf3", "./etc/apt/trusted.gpg.d/debian.asc": b"key"}
    made = _merged({**MACHINES, **kept}, of=DISK)

    assert sorted(made) == [
        "etc/apt/trusted.gpg.d/debian.asc",
        "etc/ssh/sshd_config",
        "usr/bin/iperf3",
        "var/lib/dpkg/info/iperf3.list",
    ]


def test_what_tells_of_the_day_of_the_build_is_made_constant() -> None:
    """The day of a password in shadow, the date of a source in compiled Python; root's shell is the quick one."""
    made = _merged(
        {
            "./etc/shadow": b"root:*:20781:0:99999:7:::\n",
            "./etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n",
            "./usr/lib/a.pyc": b"\xa7\r\r\n" + b"\0\0\0\0" + b"DATE" + b"SIZE" + b"code",
        }
    )

    assert made["etc/shadow"].content == b"root:*:18518:0:99999:7:::\n"
    assert made["etc/passwd"].content == b"root:x:0:0:root:/root:/bin/sh\n"
    assert made["usr/lib/a.pyc"].content == b"\xa7\r\r\n" + b"\x01\0\0\0" + bytes(8) + b"code"


def test_packages_are_those_that_dpkg_calls_installed() -> None:
    """Removed ones with leftover configuration are not in the image."""
    status = """\
Package: zlib1g
Status: install ok installed
Version: 1:1.2.13
Description: a library
 Version: not this

Package: gone
Status: deinstall ok config-files
Version: 1
"""

    assert archive.packages(status) == {"zlib1g": "1:1.2.13"}


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,30}", fullmatch=True), st.binary(max_size=300)), max_size=8))
def test_an_initrd_is_a_cpio_archive_of_whole_words(found: list[tuple[str, bytes]]) -> None:
    """Each header starts on 4 bytes, sizes are true, and the trailer ends it."""
    entries = [archive.file(name, content, 0o755) for name, content in found]
    raw = archive.cpio(entries)
    read, at = [], 0
    while True:
        assert at % 4 == 0
        assert raw[at : at + 6] == b"070701"
        fields = [int(raw[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = raw[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + 110 + fields[11] + -(110 + fields[11]) % 4
        at = start + fields[6] + -fields[6] % 4
        if name == "TRAILER!!!":
            break
        read.append((name, fields[1], raw[start : start + fields[6]]))

    assert read == [(name, stat.S_IFREG | 0o755, content) for name, content in found]
    assert at == len(raw)


# -- seed --------------------------------------------------------------------------------------------------------------
_PART = st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True).filter(lambda part: part not in {".", ".."})
_PATHS = st.lists(_PART, min_size=1, max_size=4).map("/".join)


def _apart(found: Mapping[str, bytes]) -> bool:
    return not any(other.startswith(f"{name}/") for name in found for other in found)


@given(st.dictionaries(_PATHS, st.binary(max_size=2000), max_size=6).filter(_apart))
def test_a_seed_is_whole_sectors_and_gives_back_what_it_was_given(found: dict[str, bytes]) -> None:
    """Content, root's ownership, a private mode unless it is known to be public; the same files, the same bytes."""
    raw = seed.archive(found)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        members = tar.getmembers()
        read = {each.name: tar.extractfile(each) for each in members if each.isreg()}
        contents = {name: file.read() for name, file in read.items() if file is not None}

    assert contents == found
    assert len(raw) % 512 == 0
    assert {(each.uid, each.gid) for each in members} <= {(0, 0)}
    assert raw == seed.archive(dict(reversed(found.items())))


MODES = {
    "etc/ssh/ssh_host_ed25519_key": 0o600,
    "etc/ssh/ssh_host_ed25519_key.pub": 0o644,
    "root/.ssh/authorized_keys": 0o600,
    "etc/hostname": 0o644,
    "etc/nettune/nics": 0o644,
    "srv/secret": 0o600,
}


def test_keys_in_a_seed_are_roots_alone(tmp_path: Path) -> None:
    """Also the seed itself, where a file of another mode was before."""
    path = tmp_path / "seed.tar"
    path.write_bytes(b"x" * 100_000)
    path.chmod(0o644)
    seed.seed(path, dict.fromkeys(MODES, b"content"))
    with tarfile.open(path) as tar:
        modes = {each.name: each.mode for each in tar}

    assert {name: modes[name] for name in MODES} == MODES
    assert modes["root/.ssh"] == modes["root"] == 0o700
    assert modes["etc"] == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "", ".", "a//b", "a/", "./a", "a\0b"])
def test_a_path_that_leads_out_of_the_guest_is_refused(name: str) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match="is no path below a guest's root"):
        seed.archive({name: b""})


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    """An archive would take both, and the guest neither."""
    with pytest.raises(ValueError, match="lies below what is a file"):
        seed.archive({"etc": b"", "etc/hostname": b""})


def test_a_seed_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Its folder is missing."""
    with pytest.raises(NotAble, match=r"cannot write the seed .*/none/seed: No such file"):
        seed.seed(tmp_path / "none" / "seed", {})


# -- what is asked of the machine --------------------------------------------------------------------------------------
def test_sources_are_the_machines_debian_indexes() -> None:
    """Each index once, signed by Debian's own keys; other origins are not asked for."""
    answer = (
        "https://deb.example/debian bookworm main\nhttps://deb.example/debian bookworm main\nhttps://s.example x main\n"
    )
    host = FakeHost("node", lambda _: (0, answer))

    assert sources.sources(host) == (
        f"deb [signed-by={sources.KEYRING}] https://deb.example/debian bookworm main",
        f"deb [signed-by={sources.KEYRING}] https://s.example x main",
    )
    assert host.asked[0].argv[-1] == "Origin: Debian"


def test_a_machine_without_packages_of_debian_is_refused_with_the_way_out() -> None:
    """No lists yet, or no Debian at all."""
    with pytest.raises(NotAble, match="apt on node knows no packages of Debian") as raised:
        sources.sources(FakeHost("node", lambda _: (0, "")))

    assert raised.value.hint.startswith("apt-get update")


def test_of_apts_options_only_those_that_reach_a_mirror_go_on() -> None:
    """Proxies and checks of dates; no hooks, no caches."""
    dump = 'Acquire::http::Proxy "http://proxy.example:3128";\nDPkg::Post-Invoke "";\nAcquire::Check-Date "false";\n'

    assert sources.options(FakeHost("node", lambda _: (0, dump))) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Date "false";',
    )


LACKING = (
    (LAB_KIND, "mmdebstrap, sqfstar", "mmdebstrap squashfs-tools"),
    (DISK_KIND, "mmdebstrap, mformat, qemu-img", "mmdebstrap mtools qemu-utils"),
)


@pytest.mark.parametrize(("kind", "named", "packages"), LACKING, ids=["lab", "disk"])
def test_missing_tools_are_named_with_their_packages(
    tmp_path: Path, kind: build.Kind, named: str, packages: str
) -> None:
    """All at once, and before anything is done."""
    missing = {"mmdebstrap", "sqfstar", "mformat", "qemu-img"}

    def answer(command: Any) -> tuple[int, str]:  # Any: FakeHost's own type of question
        if command.argv[0] == "cat":
            return (0, "0 0 4294967295\n")
        return (127, "") if command.argv[-1] in missing else (0, "/usr/bin/it")

    with pytest.raises(NotAble, match=f"an image cannot be built without {named}") as raised:
        build.build(kind, tmp_path, tmp_path, FakeHost("node", answer), print)

    assert raised.value.hint == f"apt-get install --no-install-recommends {packages}"


def test_a_compressed_module_is_unpacked_for_the_initrd() -> None:
    """Debian 13's modules are .ko.xz, and insmod in the initrd takes ELF."""
    import lzma

    assert kernel.plain(lzma.compress(b"\x7fELF module")) == b"\x7fELF module"
    assert kernel.plain(b"\x7fELF module") == b"\x7fELF module"
