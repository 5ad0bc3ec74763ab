"""Readers of lock files and project files: text in, git requirements out, one module for each format."""
