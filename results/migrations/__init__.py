"""Alembic's steps from one format of the store to the next; `versions/` holds one file each."""
