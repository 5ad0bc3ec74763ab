"""The only package that imports `devpi_server`: index type, releases, differences between its versions."""
