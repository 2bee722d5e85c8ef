"""A profile on a machine that stands, to stay there: planned, guarded, verified, confirmed, rolled back. ADR 0025."""
