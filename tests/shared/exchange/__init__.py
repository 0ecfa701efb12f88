"""The exchange adapters."""
