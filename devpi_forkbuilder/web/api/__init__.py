"""The HTTP API below `/{user}/{index}/+forks`: views, states as JSON, logs, sources, metrics.

Enter at `views.ForksView`.
"""
