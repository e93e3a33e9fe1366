"""What was unusual: the ranked events, their cards and their page."""
