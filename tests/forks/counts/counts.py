CASE = "counts"
