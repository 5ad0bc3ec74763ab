COMMIT = "second"
