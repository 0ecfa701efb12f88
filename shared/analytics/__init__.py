"""Carrydesk: analytics."""
