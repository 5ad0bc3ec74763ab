COMMIT = "first"
