"""The venue itself: Bybit's V5 protocol over shared/venue, replaying recorded history."""
