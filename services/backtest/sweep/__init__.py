"""The parameter sweep: one carry rule, compiled on fixed-point integers, many sets at once."""
