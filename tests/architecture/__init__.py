"""The import rules and seams, held by parsing."""
