"""Governor and sleep of CPUs: facts of machines alone. On text in the kernel's format, not on hardware."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import cpus, part, state
from bench.facts.sheet import Difference, FactSheet
from bench.hosts.command import Outcome
from bench.hosts.local import Local
from tests.unit.bench.fakes import lab
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, check, owner

# Two CPUs that share a clock; paths of Documentation/admin-guide/pm/cpufreq.rst and cpuidle.rst.
TEXT = """\
/sys/devices/system/cpu/cpufreq/policy0/scaling_governor:powersave
/sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference:balance_performance
/sys/devices/system/cpu/cpu0/power/pm_qos_resume_latency_us:0
/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us:0
"""
FACTS = {
    "cpu/policy0/scaling_governor": "powersave",
    "cpu/policy0/energy_performance_preference": "balance_performance",
    "cpu/cpu0/pm_qos_resume_latency_us": "0",
    "cpu/cpu1/pm_qos_resume_latency_us": "0",
}


def test_they_are_facts_of_machines() -> None:
    """A namespace has the machine's CPUs: not its own to tell of, nor to set."""
    answer = Outcome(cpus.QUESTION, "pve1", 0, TEXT, "", 0.0)

    assert cpus.parse(TEXT) == FACTS
    assert cpus.QUESTION in state.questions(["eth0"], clocked=True)
    assert cpus.QUESTION not in state.questions(["eth0"], machine=True)
    assert state.parse([answer]) == FACTS
    assert part.questions(FACTS) == (cpus.QUESTION,)
    assert part.renewed({**FACTS, "cpu/cpu2/pm_qos_resume_latency_us": "0"}, FACTS, [answer]) == FACTS


def test_this_machine_answers_with_what_it_has() -> None:
    """The real question here: every fact has a file, and the kernel's clocks are not measured for it."""
    outcome = Local().run(cpus.QUESTION)

    assert set(outcome.stdout.splitlines()) >= {
        f"{cpus.path(key)}:{value}" for key, value in cpus.parse(outcome.stdout).items()
    }
    assert "scaling_cur_freq" not in outcome.stdout


def test_every_cpu_of_the_node_is_set() -> None:
    """By tee, like all of sysfs."""
    here = lab()
    node = here.nodes[0]
    facts = {**FACTS, "sysctl/net.core.netdev_max_backlog": "1000"}
    sheets = {host.name: FactSheet(host.name, facts if host is node else {}) for host in here.hosts}
    knob = KNOBS["pm_qos_resume_latency_us"]
    changes = knob.changes("pm_qos_resume_latency_us", "3", here, "node", sheets)

    assert changes == tuple(Change(node.name, f"cpu/cpu{n}/pm_qos_resume_latency_us", "3") for n in (0, 1))
    assert [(command.argv, command.stdin) for command in knob.writes(changes[:1])] == [
        (("tee", "/sys/devices/system/cpu/cpu0/power/pm_qos_resume_latency_us"), "3")
    ]
    assert owner("cpu/policy0/scaling_governor") is KNOBS["scaling_governor"]


def test_a_governor_moves_the_energy_preference() -> None:
    """Under performance intel_pstate knows that one preference alone; no other fact moves."""
    knob = KNOBS["scaling_governor"]
    moved = Difference("pve1", "cpu/policy0/energy_performance_preference", "balance_performance", "performance")

    assert knob.explains("scaling_governor", moved)
    assert not knob.explains("scaling_governor", Difference("pve1", "cpu/cpu0/pm_qos_resume_latency_us", "0", "3"))
    assert knob.command("scaling_governor", "performance") == (
        "echo performance | tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    )


def test_where_there_is_no_machine_it_is_refused() -> None:
    """Also a namespace over SSH, which sees the CPUs of its machine: they are not its own."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, FACTS) for host in here.hosts}

    with pytest.raises(NotSettable, match="is no machine of its own with scaling_governor"):
        KNOBS["scaling_governor"].changes("scaling_governor", "performance", here, "node", sheets)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("scaling_governor", "fast!", "scaling_governor 'fast!' is no word of the kernel's, as performance"),
        ("pm_qos_resume_latency_us", "-3", "pm_qos_resume_latency_us '-3' is no number of microseconds"),
        ("energy_performance_preference", "performance", ""),
    ],
)
def test_values_are_checked_before_any_host_is_asked(setting: str, value: str, problem: str) -> None:
    """By the plan's own check."""
    assert check(setting, value)[0].startswith(problem)
    assert bool(check(setting, value)[0]) == bool(problem)


@given(st.text())
def test_whatever_grep_prints_gives_facts_or_none(text: str) -> None:
    """No exception, and each fact leads back to its file."""
    assert all(cpus.path(key).startswith("/sys/devices/system/cpu/") for key in cpus.parse(text))
