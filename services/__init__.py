"""Carrydesk: services."""
