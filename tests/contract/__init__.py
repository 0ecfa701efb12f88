"""One suite for every exchange behind our ports."""
