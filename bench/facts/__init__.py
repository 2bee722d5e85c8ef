"""Facts: what a host says of itself. `state` is what a trial may change, `machine` what stays, `counters` what runs.

Each builds Commands and parses their text with pure functions; absent is not 0 and not "".
"""
