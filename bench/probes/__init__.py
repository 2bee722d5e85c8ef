"""Probes: one kind of measurement each. `probe` is what they share, `iperf3` and `irtt` drive the tools."""
