"""The vm tier: real guests under QEMU's own emulation, from the image that nettune builds. What is missing is said."""

import os
import shutil
from pathlib import Path

import pytest

_TOOLS = ("qemu-system-x86_64", "mmdebstrap", "sqfstar", "ssh", "ssh-keygen", "qemu-img", "mformat", "genisoimage")
_FILES = ("/usr/share/OVMF/OVMF_CODE_4M.fd",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tier; skip it with the reason, or fail under CI=true."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    lacking += [file for file in _FILES if not Path(file).exists()]
    for item in items:
        if "tests/vm/" not in str(item.path):
            continue
        item.add_marker(pytest.mark.vm)
        if lacking and os.environ.get("CI") != "true":
            reason = f"not installed: {', '.join(lacking)}"
            item.add_marker(pytest.mark.skip(reason=reason))  # not in CI: it fails there
