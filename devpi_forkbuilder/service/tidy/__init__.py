"""Tidying: what a server keeps beside its releases is bounded by age and size.

Enter at `engine`; `daily` is the server's own pass. Imports `pipeline` and `domain`.
"""
