"""Carrydesk: store."""
