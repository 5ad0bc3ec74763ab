"""`devpi-forkbuilder doctor`: checks of this machine, of an index and of a cache.

Enter at `command.run`.
"""
