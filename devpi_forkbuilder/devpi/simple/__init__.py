"""Simple pages beyond devpi's own: what upstream said of its files, core metadata without wheels, upload times.

Enter at `catalog.Catalog`, of which each server has one. `fact_store` keeps what was learned, `mirrors` listens to
devpi's own reading of upstream pages, `published` reads the facts of files stored here, `remote` gets the metadata of
wheels that are not here, `pages` writes pages. Imports devpi_server and `domain/`.
"""
