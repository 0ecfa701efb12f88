"""One file per version, never edited once merged."""
