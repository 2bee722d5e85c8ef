"""Knobs: each kind of setting knows its words, how it is expanded, written and refused, and what it drags along.

`table` has every kind, in writing order. Beside it stands the catalogue of all knobs there are, also those that nettune
turns not: `catalogue` reads it into entries (`entry`), `presence` asks a host which it has, `candidates` says what may
still gain there, `explain` says it in words.
"""
