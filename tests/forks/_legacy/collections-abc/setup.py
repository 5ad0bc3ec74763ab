import collections

BASE = collections.MutableMapping
from setuptools import setup

setup(name="legacy-collections-abc", version="1.0.2", py_modules=["legacy"])
