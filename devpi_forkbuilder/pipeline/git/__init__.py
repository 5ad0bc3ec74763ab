"""Git repositories: fetches into mirrors, credentials, addresses, and what went wrong with a host.

Enter at `mirror.Mirrors`. Imports `pipeline.process`, `domain` and `errors`.
"""
