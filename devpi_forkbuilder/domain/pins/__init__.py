"""Pins: their syntax, URLs, policy, index settings, orders, and differences between two lists.

Enter at `pins.Pin`. Imports `errors` only.
"""
