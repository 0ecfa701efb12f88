"""The core: pure, exact, deterministic. No I/O, clock, randomness, logging or binary fractions."""
