"""Tests of recorded history."""
