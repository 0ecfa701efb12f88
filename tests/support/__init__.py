"""Builders and fakes for ports, shared by the tests."""
