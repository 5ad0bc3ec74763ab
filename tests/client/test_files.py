from __future__ import annotations

from devpi_forkbuilder.client.commands.check import faults_of
from devpi_forkbuilder.client.requirement_files import read_all, read_arguments

A, B = "a" * 40, "b" * 40
HOST = "https://h.example.com"


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_read_all__follows_includes_once_and_keeps_every_byte(tmp_path):
    main = write(tmp_path, "a.txt", f"\ufeff-r sub/b.txt\r\ngit+{HOST}/a@{A}#egg=a\r\n")
    write(tmp_path, "sub/b.txt", f"-r ../a.txt\n-c c.txt\ngit+{HOST}/b@v1#egg=b\n")
    write(tmp_path, "sub/c.txt", f"git+{HOST}/c@{A}#egg=c\n")
    found = read_all([main, str(tmp_path / "sub" / "b.txt")], {})
    assert not found.faults
    assert sorted(line.project for line in found.git_lines) == ["a", "b", "c"]
    assert str(found.files[0]) == f"\ufeff-r sub/b.txt\r\ngit+{HOST}/a@{A}#egg=a\r\n"
    assert [file.constraint for file in found.files] == [False, False, True]


def test_read_all__lock_and_project_files_by_their_name(tmp_path):
    lock = f'[[package]]\nname = "a"\nversion = "1.0"\nsource = {{ git = "{HOST}/a?rev=v1#{A}" }}\n'
    project = f'[project]\nname = "x"\ndependencies = ["b @ git+{HOST}/b@{B}", "ordinary>=1"]\n'
    files = [write(tmp_path, "uv.lock", lock), write(tmp_path, "pyproject.toml", project)]
    found = read_all(files, {})
    assert [(line.project, line.commit) for line in found.git_lines] == [("a", A), ("b", B)]


def test_read_all__files_that_cannot_be_read_are_faults_and_the_others_are_read(tmp_path):
    good = write(tmp_path, "a.txt", f"git+{HOST}/a@{A}#egg=a\n")
    wide = write(tmp_path, "wide.txt", "x", "utf-16")
    found = read_all([str(tmp_path / "none.txt"), wide, str(tmp_path), good], {})
    assert [line.project for line in found.git_lines] == ["a"]
    assert [str(fault).removeprefix(str(tmp_path)).partition(": name")[0] for fault in found.faults] == [
        "/none.txt: cannot be read (No such file or directory)",
        "/wide.txt: not UTF-8 text",
        ": cannot be read (Is a directory)",
    ]


def test_read_arguments__have_numbers_of_their_own():
    found = read_arguments(
        [f"git+{HOST}/a@v1#egg=a", "ordinary==1", f"git+{HOST}/b@", "b @ git+https://me:secret@h/x"], {}
    )
    assert [line.place.line for line in found.git_lines] == [1]
    assert [(fault.line, fault.where) for fault in found.faults] == [(n, "argument") for n in (2, 3, 4)]
    assert "secret" not in str(found.faults)


def test_faults_of__what_pin_resolves_is_a_fault_for_the_strict_only(tmp_path):
    text = f"git+{HOST}/a@v1#egg=a==1\ngit+{HOST}/a@v1#egg=a==1\ngit+{HOST}/b#egg=b\ngit+{HOST}/c@{A}\n"
    text += f"d @ git+{HOST}/d@{A} ; python_version < '3'\nd @ git+{HOST}/d@{B} ; python_version >= '3'\n"
    found = read_all([write(tmp_path, "a.txt", text)], {})
    assert faults_of(found, strict=False) == ()
    assert [fault.line for fault in faults_of(found, strict=True)] == [1, 2, 3, 4, 6]


def test_faults_of__two_refs_for_one_version_contradict_each_other(tmp_path):
    found = read_all([write(tmp_path, "a.txt", f"git+{HOST}/a@v1#egg=a==1\ngit+{HOST}/a@v2#egg=a==1.0\n")], {})
    (fault,) = faults_of(found, strict=False)
    assert fault.line == 2
    assert "has another commit or subdirectory in" in fault.problem
