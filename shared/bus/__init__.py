"""Carrydesk: bus."""
