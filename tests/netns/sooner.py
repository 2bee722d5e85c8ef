"""The console program, whose `apply` watches for 2 s of the 12: most tests are of something else than what it sees.

python -m tests.netns.sooner VERB WORDS…
"""

import sys

from nettune.__main__ import main

if sys.argv[1] == "apply":
    from tuning.applying import verifying

    verifying.WATCHED_S = 2.0
main()
