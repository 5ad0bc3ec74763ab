CASE = "subdirectory"
