"""What lets CPUs clock down and sleep: governor, energy preference, tolerated wake-up latency, as facts. Pure."""

import re
from collections.abc import Mapping

from bench.hosts.command import Command

_ROOT = "/sys/devices/system/cpu"
FOLDERS: Mapping[str, str] = {
    "scaling_governor": "cpufreq/{}/",
    "energy_performance_preference": "cpufreq/{}/",
    "pm_qos_resume_latency_us": "{}/power/",
}
_FILE = re.compile(rf"{_ROOT}/(?:cpufreq/(policy[0-9]+)|(cpu[0-9]+)/power)/({'|'.join(FOLDERS)}):(.*)")
# One process (2 ms with two CPUs), and no word of a file that the kernel has to measure for (scaling_cur_freq).
_PASSED_BY = ("cache", "topology", "cpuidle", "hotplug", "microcode", "thermal_throttle")  # most files of a CPU
QUESTION = Command(
    ("grep", "-Hrs", *(f"--include={name}" for name in FOLDERS), *(f"--exclude-dir={name}" for name in _PASSED_BY),
     ".", _ROOT)
)  # fmt: skip


def parse(text: str) -> dict[str, str]:
    """Facts "cpu/policy0/scaling_governor" and "cpu/cpu0/pm_qos_resume_latency_us"; guests have few or none."""
    found = (_FILE.fullmatch(line) for line in text.splitlines())
    return {f"cpu/{each[1] or each[2]}/{each[3]}": each[4].strip() for each in found if each is not None}


def path(key: str) -> str:
    """The file behind such a fact."""
    _, of, name = key.split("/")
    return f"{_ROOT}/{FOLDERS[name].format(of)}{name}"
