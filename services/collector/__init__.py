"""Carrydesk: collector."""
