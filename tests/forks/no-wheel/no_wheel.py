CASE = "no-wheel"
