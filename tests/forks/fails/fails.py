CASE = "fails"
