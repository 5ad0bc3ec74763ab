CASE = "slow"
