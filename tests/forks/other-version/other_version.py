CASE = "other-version"
