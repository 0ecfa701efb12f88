"""Bybit's rules for one unified account: standard library only, so that it can be an oracle."""
