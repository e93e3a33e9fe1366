"""Attacks on what DeepTracker promises: each ends in figures, of which the last must be 0.

``make soak`` runs the long forms and prints one table; tests run the short ones.
"""
