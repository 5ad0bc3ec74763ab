"""Compiled wheels that link more than Python: what policy allows is tagged for every Linux, the rest for this one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clients import Uv
from tests.functional.test_interpreters import fork_of
from tests.live import Live
from tests.processes import Running
from tests.repositories import Content
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.network]

SOURCE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <{header}>

static PyObject *said(PyObject *self, PyObject *unused) {{ return {expression}; }}

static PyMethodDef methods[] = {{{{"said", said, METH_NOARGS, NULL}}, {{NULL, NULL, 0, NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "linking", NULL, -1, methods}};
PyMODINIT_FUNC PyInit_linking(void) {{ return PyModule_Create(&module); }}
"""
LIBRARIES = {
    "z": ("zlib.h", "PyUnicode_FromString(zlibVersion())"),
    "ffi": ("ffi.h", "PyLong_FromLong(ffi_type_sint32.size + (ffi_prep_cif(NULL, 0, 0, NULL, NULL) == FFI_OK))"),
}


def linking(library: str) -> dict[str, Content]:
    """A fork whose module links a library of the system."""
    header, expression = LIBRARIES[library]
    if not list(Path("/usr/include").rglob(header)):
        pytest.skip(f"{header} is not installed")
    return {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
        "setup.py": "from setuptools import Extension, setup\nsetup(name='linking', version='1.0.2', "
        f"ext_modules=[Extension('linking', ['linking.c'], libraries=['{library}'])])\n",
        "linking.c": SOURCE.format(header=header, expression=expression),
    }


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_linux_wheel__by_what_it_links(live: Live, uv: Uv, tmp_path: Path, library: str) -> None:
    pytest.importorskip("auditwheel")
    fork = fork_of(live.host, "linking", linking(library))
    index = live.index_of(fork)
    target = tmp_path / "target"
    uv.install(live.url(index), "linking", target=target).check()
    command = [sys.executable, "-c", "import linking; print(linking.said())"]
    said = Running(command, clean_environment(tmp_path, PYTHONPATH=str(target)), target, None).wait(60).check()
    assert said.stdout.strip()
    (name,) = live.files(index, "linking")
    log = live.log(index, fork)
    if library == "z":  # PEP 600's policies name libz.so.1
        assert "-manylinux" in name
        assert "it links what every such platform has" in log
    else:
        assert "-linux_" in name
        assert "manylinux" not in name
        assert "the wheel keeps its tag linux_" in log
        assert "it links libffi.so." in log
