CASE = "other-name"
