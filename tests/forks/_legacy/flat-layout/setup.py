from setuptools import setup

setup(name="legacy-flat-layout", version="1.0.2")
