"""Search: from a few knobs to one confirmed configuration, or "change nothing".

`pipeline.next_step` is the verb: a pure function of the question and of what was measured so far, which says what to
measure next or what the answer is. Every stage is an ordinary run of blocks, judged by results.judgement; so a search
that was cut short goes on where its runs end. In the order of the road: `noise`, `screening` (the Plackett-Burman
design) with `screened` and `model` (what it says), `race`, `reducing` with `refine` and `combine`, `closing` with
`pareto` (the named picks) and `confirming`. `stages` has the nouns, `course` the budget, `standing` what a stage says
of an arm. `space` finds the knobs, `driving` and `planned` carry a search out over runs. docs/adr/0024-search.md.
"""
