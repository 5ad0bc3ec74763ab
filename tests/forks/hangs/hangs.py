CASE = "hangs"
