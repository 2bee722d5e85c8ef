"""Room."""

ROOM_OF = "nettune"
