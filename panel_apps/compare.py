"""``panel serve panel_apps/compare.py --args RUN RUN …``: runs side by side; a folder stands for the runs in it."""

import sys

from deeptracker.app import compare_page

compare_page(sys.argv[1:]).servable()
