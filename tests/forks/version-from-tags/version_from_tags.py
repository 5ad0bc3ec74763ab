CASE = "version-from-tags"
