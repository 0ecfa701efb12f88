"""Carrydesk: exchange."""
