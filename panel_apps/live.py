"""``panel serve panel_apps/live.py --args RUN``: a training while it runs."""

import sys

from deeptracker.app import live_page

live_page(sys.argv[1]).servable()
