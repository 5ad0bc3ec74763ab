"""Requirements, lock and project files: read with all faults, and written back with the user's own words.

Enter at `requirements.read_requirements`. Imports `domain.pins` and `errors`.
"""
