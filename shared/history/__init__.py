"""Recorded market history: hourly prices and funding settlements, exact as published."""
