"""Carrydesk: carry."""
