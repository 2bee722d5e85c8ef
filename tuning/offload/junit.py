"""A validation as JUnit XML, which acceptance labs and CI read: a suite of levels and one of features. Pure."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from tuning.offload.evidence import BAD, GOOD, Validation


def junit(found: Validation, required: Sequence[str]) -> str:
    """A case a level and a case a feature: failed, skipped where nothing could be judged or was asked, or passed."""
    name = f"{found.nic.host}.{found.nic.device}"
    root = ET.Element("testsuites", name=f"nettune offload {name}")
    cases: list[tuple[str, str, str, str, str]] = []  # suite, case, "failure" | "skipped" | "", word, text
    for level in found.levels:
        kind = {"ok": "", "failed": "failure"}.get(level.outcome, "skipped")
        if level.outcome == "failed" and level.level in {"engaged", "negotiation", "benefit"} and not required:
            kind = ""  # findings about single features, which have cases of their own
        cases.append(("levels", level.level, kind, level.outcome, "\n".join(level.evidence)))
    for row in found.features:
        wanted = row.feature in required
        kind = "failure" if row.verdict in BAD or (wanted and row.verdict not in GOOD) else ""
        if not kind and row.verdict not in GOOD:
            kind = "skipped"
        text = "\n".join(f"{level}: {words}" for level, words in row.evidence.items())
        cases.append(("features", _plain(f"{row.feature} {row.direction}"), kind, row.verdict, text))
    for suite in ("levels", "features"):
        own = [each for each in cases if each[0] == suite]
        element = ET.SubElement(
            root,
            "testsuite",
            name=suite,
            tests=str(len(own)),
            failures=str(sum(each[2] == "failure" for each in own)),
            skipped=str(sum(each[2] == "skipped" for each in own)),
        )
        for _, case, kind, word, text in own:
            made = ET.SubElement(element, "testcase", classname=f"{name}.{suite}", name=case)
            if kind:
                ET.SubElement(made, kind, message=word).text = _plain(text)
            elif text:
                ET.SubElement(made, "system-out").text = _plain(text)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _plain(text: str) -> str:
    """Without what XML 1.0 cannot hold: a driver may say anything."""
    return "".join(letter for letter in text if letter in "\t\n" or ord(letter) >= 32)
