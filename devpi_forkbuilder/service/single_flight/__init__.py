"""Single flight: at most one run for each order, shared by all who ask.

Enter at `registry`. Imports `service.records` and `domain`.
"""
