"""The console program, whose Commands find programs of a folder first: an `ip` that takes its time.

python -m tests.netns.slow_ip FOLDER PROGRAM -m nettune VERB WORDS…
"""

import sys

from bench.hosts import local
from nettune.__main__ import main

local.ENVIRONMENT["PATH"] = f"{sys.argv[1]}:{local.ENVIRONMENT['PATH']}"
sys.argv = ["nettune", *sys.argv[sys.argv.index("nettune") + 1 :]]
main()
