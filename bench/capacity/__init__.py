"""How much a path or host carries: rate searches over offered load (`rates`), and many pairs at once (`dense`)."""
