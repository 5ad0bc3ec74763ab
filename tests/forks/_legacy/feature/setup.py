from setuptools import Feature  # noqa: F401
from setuptools import setup

setup(name="legacy-feature", version="1.0.2", py_modules=["legacy"], features={})
