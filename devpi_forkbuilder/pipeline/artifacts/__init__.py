"""Build outputs to checked artefacts: strict archive readers, wheel and sdist checks, stamping, retagging.

Enter at `collect`. Imports `pipeline.process`, `domain` and `errors`.
"""
