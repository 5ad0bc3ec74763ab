"""Simple pages as values: what an index says of a project's files beside their names and URLs.

Enter at `file_facts`. Imports the standard library and `packaging` only.
"""
