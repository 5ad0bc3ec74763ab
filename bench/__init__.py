"""Benchmarks: each prints the figures that it measured."""
