"""Carrydesk: config."""
