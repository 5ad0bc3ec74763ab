from pathlib import Path

from setuptools import setup

setup(
    name="setup-py-reads-requirements",
    version="1.0.2",
    py_modules=["setup_py_reads_requirements"],
    install_requires=Path("requirements.txt").read_text().splitlines(),
)
