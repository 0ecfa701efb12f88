"""Carrydesk: strategy."""
