"""Several runs side by side: curves, one layer of each, differences, parameters that differ."""
