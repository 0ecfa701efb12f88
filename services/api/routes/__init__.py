"""Carrydesk: routes."""
