"""What a host carries as load on it grows: models of the curve, their intervals, and what a service level allows.

`models` has the formulas and their fits, `curve` chooses between them and forecasts, `unimodal` refuses what no model
can be laid through, `slo` reads what somebody wants, `answer` says how many fit. ADR 0031 has the reasons.
"""
