"""Charts of what the benchmarks print."""
