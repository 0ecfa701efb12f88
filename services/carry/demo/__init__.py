"""The whole platform on one machine without Docker: a supervisor and its children."""
