CASE = "pure-setuptools"
