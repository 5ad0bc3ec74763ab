import pkg_resources  # noqa: F401
from setuptools import setup

setup(name="legacy-pkg-resources", version="1.0.2", py_modules=["legacy"])
