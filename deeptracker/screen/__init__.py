"""Reading for the screen: views, exports and pages take everything that they show of a run from here.

``read`` takes a group, a range of iterations and a number of pixels, and chooses the level of the hierarchical index;
``table`` reads what is no series (architecture, names, orders), ``rows`` whole rows one block after the other.
"""

from deeptracker.screen.level import CELLS, Level, choose
from deeptracker.screen.opened import coordinate, extent, opened, sizes, units, variables
from deeptracker.screen.reading import expression, expression_for, forget, forget_values, read, rows, table

__all__ = [
    "CELLS",
    "Level",
    "choose",
    "coordinate",
    "expression",
    "expression_for",
    "extent",
    "forget",
    "forget_values",
    "opened",
    "read",
    "rows",
    "sizes",
    "table",
    "units",
    "variables",
]
