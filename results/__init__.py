"""KEEP: what was measured, and what it means.

`records` are the nouns (Run, Block, Trial, Sample, Comparison); `metrics` says what each number means;
`store` keeps them in SQL; `statistics` are pure formulas; `judgement` turns trials into verdicts;
`summary` is the document behind `nettune show`; `charts` and `report` draw it. Imports nothing of ours.
"""

ROOM_OF = "nettune"
