CASE = "inline"
