from setuptools import setup

setup(name="legacy-use-2to3", version="1.0.2", py_modules=["legacy"], use_2to3=True)
