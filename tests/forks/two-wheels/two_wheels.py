CASE = "two-wheels"
