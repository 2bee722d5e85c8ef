"""`nettune export`, `nettune.frame`, `nettune plan`: data out, as its users meet it."""

import csv
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd  # noqa: TID251 - the tests stand outside the door
import pytest

import nettune
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.plan import shipped
from results import tidy
from results.errors import WrongInput
from results.records import Run, Trial
from tests.unit.bench.sites import documented
from tests.unit.nettune.kept import kept_example
from tests.unit.nettune.program import ROOT, Program, here
from tests.unit.nettune.program import nettune as started

Kept = tuple[Run, tuple[Trial, ...]]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """The example run, in the store that `program` opens."""
    return kept_example(tmp_path / "state" / "nettune.db")


def test_csv_goes_to_standard_output_row_by_row(program: Program, kept: Kept) -> None:
    """Every row of the run, lost trials included, ready for a pipe."""
    outcome = program("export", "last").require()
    found = list(csv.DictReader(io.StringIO(outcome.stdout, newline="")))

    assert outcome.stdout == tidy.as_csv(tidy.rows(*kept), tidy.COLUMNS)
    assert len(found) == 566
    assert {row["status"] for row in found} == {"done", "failed", "missing"}


def test_json_holds_the_rows_and_the_document_of_show(program: Program, kept: Kept) -> None:
    """One file with everything: the numbers, and what was concluded from them."""
    document = json.loads(program("export", kept[0].run_id[:10], "--format", "json").require().stdout)

    assert document["rows"] == [asdict(row) for row in tidy.rows(*kept)]
    assert document["show"] == json.loads(program("show", "--json").require().stdout)


def test_the_files_name_decides_the_format(tmp_path: Path, program: Program, kept: Kept) -> None:
    """`-o run.parquet` needs no --format; what was written is named."""
    for name, start in (("run.csv", b"run_id,"), ("run.json", b"{\n"), ("run.parquet", b"PAR1"), ("run.md", b"## ")):
        outcome = program("export", "-o", str(tmp_path / name)).require()

        assert (tmp_path / name).read_bytes().startswith(start)
        assert outcome.stdout == f"{tmp_path / name}\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.csv", "run.json", "run.md", "run.parquet", "state"]


def test_a_parquet_file_is_the_frame(tmp_path: Path, program: Program, kept: Kept) -> None:
    """The same rows and types in both, and as many as the CSV has."""
    program("export", "-o", str(tmp_path / "run.parquet")).require()
    table = nettune.frame("last", store=str(tmp_path / "state" / "nettune.db"))

    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run.parquet"), table)
    assert len(table) == 566
    assert list(table["arm"].cat.categories) == ["current", "current-again", *kept[0].design.treatments]


def test_a_frame_of_several_runs_holds_each_once(tmp_path: Path) -> None:
    """Runs are named as everywhere; one named twice is not counted twice; none gives the empty frame."""
    store = str(tmp_path / "x.db")
    kept_example(tmp_path / "x.db", run_id="a1")
    kept_example(tmp_path / "x.db", run_id="b1", started_at=9e9)
    table = nettune.frame(["a1", "last", "b"], store=store)

    assert table["run_id"].value_counts().to_dict() == {"a1": 566, "b1": 566}
    assert table["trial"].nunique() == 2 * 96
    assert (len(nettune.frame([], store=store)), list(nettune.frame([], store=store).columns)) == (0, list(table))
    with pytest.raises(WrongInput, match="no run 'c'"):
        nettune.frame("c", store=store)


def test_raw_is_what_the_tools_printed(program: Program, kept: Kept) -> None:
    """One row per trial and text; trials of which nothing is kept stay, with an empty body."""
    found = list(csv.DictReader(io.StringIO(program("export", "--raw").require().stdout, newline="")))
    document = json.loads(program("export", "--raw", "--format", "json").require().stdout)

    assert (found[0]["probe"], found[0]["name"], found[0]["body"]) == ("tcp", "client", '{"é": 1}\n')
    assert [row["body"] for row in document["raw"]] == ['{"é": 1}\n'] + 95 * [""]
    assert len(found) == 96


def test_markdown_is_a_page_for_a_ticket(program: Program, kept: Kept) -> None:
    """The advice of the run, its verdicts, noise and medians."""
    text = program("export", "--format", "markdown").require().stdout

    assert text.startswith("## my-path: tcp.goodput\n\n**Candidate, not yet confirmed: jumbo")
    assert all(head in text for head in ("| bridge | jumbo | better", "**Noise**", "**Medians on vlan-10**"))


WRONG = {
    "export of nothing": (("export",), "has no run 'last'", "`nettune runs` lists them"),
    "a format that is none": (("export", "--format", "xlsx"), "Invalid value for '--format'", ""),
    "raw markdown": (("export", "--raw", "--format", "markdown"), "--raw does not go with markdown", "--format json"),
    "no plan": (("plan", "check", "quik"), "no plan 'quik'", "did you mean 'quick'?"),
    "a wrong value": (("plan", "check", "quick", "--set", "tcp.streams=0"), "probes[0].streams: 0 is outside", ""),
    "show of no plan": (("plan", "show", "offload"), "no plan 'offload' ships", "did you mean 'offloads'?"),
}


@pytest.mark.parametrize(("words", "said", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_input_exits_with_2_and_one_hint(program: Program, words: tuple[str, ...], said: str, hint: str) -> None:
    """What was typed, what came of it, what to do; nothing on standard output."""
    outcome = program(*words)

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert said in outcome.stderr
    assert hint in outcome.stderr


def test_without_pyarrow_export_exits_with_3_and_names_the_extra(
    tmp_path: Path, program: Program, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is not able; no file is left."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = program("export", "-o", str(tmp_path / "x.parquet"))

    assert outcome.returncode == 3
    assert "nettune[parquet]" in outcome.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_a_full_standard_output_exits_with_3(tmp_path: Path, kept: Kept) -> None:
    """/dev/full takes nothing: the error says so, and Python adds no complaint of its own."""
    outcome = _shell(tmp_path, '"$@" export > /dev/full')

    assert outcome.returncode == 3
    assert outcome.stderr == "nettune: cannot write to standard output: No space left on device\n"


def test_a_reader_that_wants_no_more_is_no_error(tmp_path: Path, kept: Kept) -> None:
    """`export | head -1` is how people look at a file."""
    outcome = _shell(tmp_path, '"$@" export | head -1; echo ${PIPESTATUS[0]}')

    assert outcome.stdout.splitlines() == [",".join(tidy.COLUMNS), "0"]
    assert outcome.stderr == ""


def _shell(folder: Path, script: str) -> Outcome:
    program = ("env", f"PYTHONPATH={ROOT}", f"NETTUNE_STATE={folder / 'state'}", "NETTUNE_STORE=",
               sys.executable, "-P", "-m", "nettune")  # fmt: skip
    return Local().run(Command(("bash", "-c", script, "bash", *program), deadline_s=60))


def test_plan_check_says_what_a_plan_would_do(tmp_path: Path, program: Program) -> None:
    """In a few lines for people, as a document for machines; nothing is made, also not a store."""
    (tmp_path / "mine.yaml").write_text(shipped()["quick"].read_text(encoding="utf-8"), encoding="utf-8")
    words = ("plan", "check", str(tmp_path / "mine.yaml"), "--set", "blocks=12")
    lines = program(*words).require().stdout.splitlines()
    document = json.loads(program(*words, "--json").require().stdout)

    assert lines[1:4] == [
        "topologies: bridge",
        "arms:       current (twice), no-tso, small-buffers, mtu-9000",
        "probes:     tcp, latency; decides: tcp.goodput",
    ]
    assert lines[4].startswith("12 blocks × 5 arms × 1 topologies = 60 trials, ")
    assert (document["trials"], document["blocks"], document["primary"]) == (60, 12, "tcp.goodput")
    assert document["arms"] == ["current", "current-again", "no-tso", "small-buffers", "mtu-9000"]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", list(shipped()))
def test_a_plan_that_is_shown_is_a_plan(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`plan show NAME > mine.yaml; plan check mine.yaml`: a start for one's own."""
    monkeypatch.setenv("NETTUNE_CLUSTER", str(documented(tmp_path / "pve.yaml")))
    text = program("plan", "show", name).require().stdout
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    mine = json.loads(program("plan", "check", str(tmp_path / "mine.yaml"), "--json").require().stdout)

    assert mine == json.loads(program("plan", "check", name, "--json").require().stdout)


def test_a_wrong_plan_is_told_with_file_line_and_key(tmp_path: Path, program: Program) -> None:
    """As `run` would, with the nearest right word."""
    text = shipped()["quick"].read_text(encoding="utf-8").replace("duration_s: 0.6", "duration: 0.6")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    outcome = program("plan", "check", str(tmp_path / "mine.yaml"))

    assert outcome.returncode == 2
    assert "mine.yaml:8: probes[1]: unknown key 'duration'" in outcome.stderr
    assert "did you mean 'duration_s'?" in outcome.stderr


def test_neither_help_nor_import_waits_for_pandas(tmp_path: Path) -> None:
    """Pandas takes a second; only who asks for a frame waits for it."""
    code = (
        "import sys, nettune, nettune.cli; heavy = {'pandas', 'pyarrow', 'scipy', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    outcome = Local().run(Command(("env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-c", code)))

    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "export" in started(tmp_path, "--help").require().stdout
