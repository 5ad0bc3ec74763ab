"""What HTTP clients see: the miss tween, the API, pages and placeholders. Runs no process, writes no file."""
