"""From a pinned commit to checked files on disk: git, sandbox, uv, wheel checks. Knows no queue and no devpi."""
