"""Tidying of what is in devpi's store: files of mirrors, superseded releases, leftovers of transactions.

Enter at `shelves`. Imports `service` and below.
"""
