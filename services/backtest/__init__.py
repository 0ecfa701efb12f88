"""Carrydesk: backtest."""
