"""CHANGE: turn knobs on hosts and put every one back; turn verdicts into settings worth keeping.

`knobs` know how one kind of setting is expanded, written and refused, and hold the catalogue of all there is to set;
`journal` keeps the originals on disk before any write; `treatments` hold settings during a trial and undo them;
`recommend` turns a judgement into recommendations; `profile` is the file of them. Imports `bench` and `results`.
"""

ROOM_OF = "nettune"
