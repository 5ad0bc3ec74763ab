from Cython.Build import cythonize
from setuptools import setup

setup(name="legacy-cython-3", version="1.0.2", py_modules=["legacy"], ext_modules=cythonize("speed.pyx"))
