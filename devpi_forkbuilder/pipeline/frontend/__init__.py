"""A checkout to build outputs: interpreters, build environments and the PEP 517 front end.

Enter at `pep517.build`. Imports `pipeline.sandbox`, `pipeline.process`, `domain` and `errors`.
"""
