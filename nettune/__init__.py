"""FRONT DOOR: the command line. Joins the rooms, prints, and is the only place that exits."""

__version__ = "0.1.0"
