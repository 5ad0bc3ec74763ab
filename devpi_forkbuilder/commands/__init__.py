"""The command line: `devpi-forkbuilder up` and `doctor`."""
