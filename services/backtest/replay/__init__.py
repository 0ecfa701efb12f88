"""One set event by event: orders that are filled in parts, as far as an hour's depth goes."""
