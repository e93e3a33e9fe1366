"""Ways to keep what a training did, and to ask for it: ours, and what people would otherwise use, a file each."""
