"""Carrydesk: executor."""
