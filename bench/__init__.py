"""MEASURE: stand a lab, hold a treatment, probe the path, check the numbers, keep them.

`plan` reads what to measure; `hosts` run Commands; `facts` read what a host says of itself; `labs` stand a Topology;
`probes` are one kind of measurement each; `ready` is what comes before the first trial; `schedule` deals arms into
blocks; `trust` says what voids a trial; `run` is the loop. Imports `results`;
never `tuning`: a treatment reaches the loop as a Protocol.
"""

ROOM_OF = "nettune"
