"""Layers and filters over time: strips of the whole net, one layer in full."""
