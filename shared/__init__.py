"""Carrydesk: shared."""
