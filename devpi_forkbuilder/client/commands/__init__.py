"""The commands of `devpi forks`, one module each.

Each has one entry point that takes a `CommandContext`.
"""
