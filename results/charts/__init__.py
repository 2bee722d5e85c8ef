"""The only door to matplotlib: each function draws one figure of a run as SVG text that can stand in any page.

`canvas` holds size, ink, legend and the way to SVG; `effects` draws what was concluded; `values` what was
measured, trial by trial; `distribution` the merged histograms. Text, axes and bands are in `currentColor`, so a
page's dark mode holds; an arm keeps one colour and one shape in every chart. Nothing is concluded here: intervals
come from the judgement, and only medians are taken. Importing this package loads matplotlib (about half a second).
"""

from results.charts.distribution import distribution
from results.charts.effects import effects
from results.charts.values import amounts, in_time_order
from results.series import Chart

__all__ = ["Chart", "amounts", "distribution", "effects", "in_time_order"]
