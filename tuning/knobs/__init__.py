"""Knobs: each kind of setting knows its words, how it is expanded, written and refused, and what it drags along."""
