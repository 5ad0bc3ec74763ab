"""The devpi-client half: `devpi forks ...`. Needs neither devpi-server nor pyramid."""
