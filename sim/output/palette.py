"""Colours of all figures: those of Okabe and Ito, which colour-blind readers can tell apart, and two greys.

The module stands here because `sim` is the lowest room that draws. Every figure also uses markers, line styles or
hatches, so that it can be read in greyscale.
"""

BLACK = "#000000"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
YELLOW = "#f0e442"
BLUE = "#0072b2"
VERMILION = "#d55e00"
PURPLE = "#cc79a7"

GREY = "#767676"
LIGHT = "#f5f5f5"

COLORS = (BLACK, VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY)
"""Colours of series, in the order in which they are used."""
