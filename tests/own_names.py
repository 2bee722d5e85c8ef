"""Names of network namespaces that are a test process's own, so that several can make labs side by side."""

import ctypes
import os

from bench.hosts.command import Command
from bench.hosts.local import Local

_CLONE_NEWNS = 0x00020000  # linux/sched.h; os.unshare came with Python 3.12
_WAY = "mkdir -p /run/netns && mount --make-rprivate / && mount -t tmpfs none /run/netns"


def take() -> None:
    """Give this process, and those that it starts from now on, an empty /run/netns; nothing where it is not root."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    Local().run(Command(("sh", "-c", _WAY))).require()
