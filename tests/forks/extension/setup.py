from setuptools import Extension, setup

setup(name="extension", version="1.0.2", ext_modules=[Extension("extension", ["extension.c"])])
