"""`devpi-forkbuilder up`: options, roles, secrets, and the server that they start.

Enter at `command.run`.
"""
