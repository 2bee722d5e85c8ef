"""Search: from a few knobs to one confirmed configuration, or "change nothing".

`pipeline.next_step` is the verb: a pure function of the question and of what was measured so far, which says what to
measure next or what the answer is. Every stage is an ordinary run of blocks, judged by results.judgement; so a search
that was cut short goes on where its runs end. `stages` has the nouns, `screening` the Plackett-Burman design,
`standing` what a stage says of an arm, `choosing` turns those into configurations and named picks. ADR 0023.
"""
