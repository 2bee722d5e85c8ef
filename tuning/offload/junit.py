"""A validation as JUnit XML, which acceptance labs and CI read: levels, features, and what was required. Pure."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from tuning.offload.document import against, required_words
from tuning.offload.evidence import GOOD, Validation


def junit(found: Validation, required: Sequence[str]) -> str:
    """A case a level, a feature and a word that is required: failed, skipped, or passed.

    Failures are the reasons for which the validation does not hold; skipped is what could not be judged, was not asked
    for, or speaks against a feature that nothing was required of.
    """
    name = f"{found.nic.host}.{found.nic.device}"
    root = ET.Element("testsuites", name=f"nettune offload {name}")
    why = {(each.suite, each.case): each.why for each in against(found, required)}
    cases: list[tuple[str, str, str, str, str]] = []  # suite, case, "failure" | "skipped" | "", word, text
    for level in found.levels:
        kind = "failure" if ("levels", level.level) in why else "" if level.outcome == "ok" else "skipped"
        cases.append(("levels", level.level, kind, level.outcome, "\n".join(level.evidence)))
    for row in found.features:
        case = f"{row.feature} {row.direction}"
        kind = "failure" if ("features", case) in why else "" if row.verdict in GOOD else "skipped"
        text = "\n".join(f"{level}: {words}" for level, words in row.evidence.items())
        cases.append(("features", _plain(case), kind, row.verdict, text))
    for word in dict.fromkeys(required):
        said = why.get(("required", word), "")
        cases.append(("required", word, "failure" if said else "", said, "\n".join(required_words(found, [word]))))
    for suite in ("levels", "features", *(["required"] if required else [])):
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
