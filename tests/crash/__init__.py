"""The crash matrix: real processes, a real database, a real bus, and a death between two steps."""
