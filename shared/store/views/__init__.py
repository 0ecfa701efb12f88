"""What the dashboard reads; statements only, one group of answers a file."""
