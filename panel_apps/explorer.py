"""``panel serve panel_apps/explorer.py --args RUN``: the explorer of a run, or the catalogue of a folder of runs."""

import sys

from deeptracker.app import page

page(sys.argv[1]).servable()
