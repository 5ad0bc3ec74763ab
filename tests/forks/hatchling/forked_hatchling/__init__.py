CASE = "hatchling"
