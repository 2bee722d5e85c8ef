"""OFFLOAD: whether a NIC's hardware offloads are real, correct, worth it, and stable.

    features    what each offload is for: its direction, what shows it, how dangerous its toggle is
    inventory   level 1: what the device says of itself
    bitmaps     the kernel's own words on a device's features (the program is `bits`)
    arms        which features are toggled, on which ground
    cases       the exchanges between the two ends, and what each amounts to
    over        VLAN devices and tunnels that payload goes through
    remote      the program that both ends run (with `wire`, `datagrams`, `spread`)
    exchange    runs it
    judging     what all of that amounts to, feature by feature; pure (`pair`: of the pair as found)
    validating  holds every arm, exchanges, compares what was restored

`known_bad.yaml` is data: hints about drivers, never a change.
"""
