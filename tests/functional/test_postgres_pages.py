"""A large page of a mirror on PostgreSQL: devpi's two statements for each link are one for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres, why_not
from tests.publicindex import public_index
from tests.server.app import App, HeldBuilder

pytestmark = [pytest.mark.functional, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]
LINKS = 40


@pytest.fixture
def app(tmp_path: Path, postgres: Postgres) -> Iterator[App]:
    made = App(tmp_path, HeldBuilder(tmp_path / "wheels"), ("--storage", postgres.database()))
    yield made
    made.close()


def test_page__is_stored_by_few_statements_and_read_again(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pg8000.native import Connection  # noqa: PLC0415 - not everybody who reads these tests has it

    statements: Counter[str] = Counter()
    run = Connection.run

    def counted(connection: Any, statement: str, **values: Any) -> Any:
        statements[" ".join(statement.split()[:3])] += 1
        return run(connection, statement, **values)

    monkeypatch.setattr(Connection, "run", counted)
    with public_index(tmp_path / "public") as public:
        config = {"type": "mirror", "mirror_url": public.url, "mirror_no_project_list": True, "mirror_cache_expiry": 0}
        assert app.request("PUT", "/root/public", config).status_int == 200
        for number in range(LINKS):
            public.add("remote", f"1.{number}")
        assert len(app.files("/root/public/+simple/remote/")) == LINKS
        assert statements["INSERT INTO kv(key,"] < LINKS / 2
        public.add("remote", "2.0")
        files = app.files("/root/public/+simple/remote/")
        assert len(files) == LINKS + 1
        assert {file["filename"] for file in files} >= {"remote-1.0-py3-none-any.whl", "remote-2.0-py3-none-any.whl"}
