"""Carrydesk: runtime."""
