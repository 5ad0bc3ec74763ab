CASE = "submodule"
