"""Benchmarks: each scenario in a fresh process on a fresh database, held against the store's own limits."""
