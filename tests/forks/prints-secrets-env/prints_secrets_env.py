CASE = "prints-secrets-env"
