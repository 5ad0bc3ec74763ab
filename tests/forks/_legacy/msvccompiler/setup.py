import distutils.msvccompiler  # noqa: F401

from setuptools import setup

setup(name="legacy-msvccompiler", version="1.0.2", py_modules=["legacy"])
