CASE = "setup-py-reads-requirements"
