CASE = "poetry"
