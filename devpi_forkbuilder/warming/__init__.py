"""Filling a cache through its index, and comparing it with what it should hold."""
