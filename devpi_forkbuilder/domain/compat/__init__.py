"""Which wheels fit which client: targets, platforms, the choice among files, requirement closures.

Enter at `targets`. Imports `errors` only.
"""
