import imp  # noqa: F401
from setuptools import setup

setup(name="legacy-removed-in-3.12", version="1.0.2", py_modules=["legacy"])
