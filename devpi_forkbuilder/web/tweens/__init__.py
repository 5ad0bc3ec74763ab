"""Tweens besides the miss: read-only and offline servers, replicas' metadata and forwarded views.

Their order is stated in `web.routes`.
"""
