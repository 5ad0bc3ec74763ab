"""The miss: a request for a simple page for which a pin has no usable file, and what becomes of it.

Enter at `tween.tween_miss`.
"""
