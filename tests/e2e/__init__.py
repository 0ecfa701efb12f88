"""The whole platform, run as its user runs it."""
