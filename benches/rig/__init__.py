"""What the benchmarks of whole processes share. Python's standard library only."""
