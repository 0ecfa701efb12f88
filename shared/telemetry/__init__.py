"""Carrydesk: telemetry."""
