"""Bugs planted one at a time, each with the test that must find it: the tests of the tests."""
