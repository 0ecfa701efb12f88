"""Carrydesk: api."""
