"""Our decoder beside what a user would run instead. `python -m benchmarks.peers --help`."""
