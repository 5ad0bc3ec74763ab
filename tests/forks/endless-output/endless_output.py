CASE = "endless-output"
