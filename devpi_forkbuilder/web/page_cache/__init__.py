"""Finished pages: validators, and pages kept in memory and served without pyramid.

Enter at `validators.tween_pages`.
"""
