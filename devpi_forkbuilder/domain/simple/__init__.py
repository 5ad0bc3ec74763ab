"""Simple pages as values: the files they list, what they say of each, placeholders, and what is hidden offline.

Enter at `simplepage` to read a page as an installer does, at `json_page` to write one, and at `placeholders` for what
stands for a pin without a file. Imports the standard library, `packaging` and other parts of `domain` only.
"""
