"""Processes: the one door to them, their environments, time limits, logs and files.

Enter at `runner.run`. Imports `domain` and `errors` only.
"""
