"""Profiles as files of other tools, for hosts that those keep: each accepted by the tool itself in tests. ADR 0026."""
