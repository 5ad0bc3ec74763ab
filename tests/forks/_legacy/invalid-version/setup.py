from pkg_resources import parse_version
from setuptools import setup

NEWEST = max(("1.0.1-12-gabcdef0", "1.0.2-0-gabcdef1"), key=parse_version)  # as git describe says it

setup(name="legacy-invalid-version", version=NEWEST.partition("-")[0], py_modules=["legacy"])
