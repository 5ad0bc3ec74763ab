CASE = "flit"
