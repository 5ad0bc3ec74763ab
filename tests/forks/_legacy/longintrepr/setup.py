from setuptools import Extension, setup

setup(name="legacy-longintrepr", version="1.0.2", py_modules=["legacy"], ext_modules=[Extension("fast", ["fast.c"])])
