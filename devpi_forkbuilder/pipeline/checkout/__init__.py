"""A commit as files: tree checks, checkout, submodules, LFS, versions from tags, archived sources.

Enter at `checkout.checkout`. Imports `pipeline.git`, `pipeline.process`, `domain` and `errors`.
"""
