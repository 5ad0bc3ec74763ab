"""What JSON pages say of files published here: upload time by the index's policy, size, core metadata."""

from __future__ import annotations

import hashlib
import json
import re
import time
import zipfile
from io import BytesIO
from typing import Any

import pytest

from devpi_forkbuilder.domain.simple.file_facts import EPOCH, PageFacts, moment, read_facts
from devpi_forkbuilder.errors import BuildError
from tests.server.app import OTHER, App, HeldBuilder, pin
from tests.server.conftest import MakeApp

PAGE = "/root/forks/+simple/alpha/"
NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
COMMITTED = "2025-11-20T10:22:33Z"


@pytest.fixture
def app(make_app: MakeApp) -> App:
    return make_app("--forkbuilder-hold", "30", "--enable-core-metadata")


def seconds(text: str) -> float:
    assert NOW.fullmatch(text), text
    return time.mktime(time.strptime(text + " UTC", "%Y-%m-%dT%H:%M:%SZ %Z")) - time.timezone


def page(app: App) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.page(PAGE).text)
    return found


def test_upload_time__of_a_fork_is_when_it_was_published(app: App) -> None:
    app.make_index("root/forks", pin())
    before = time.time() - 1
    [file] = page(app)["files"]
    assert before <= seconds(file["upload-time"]) <= time.time()
    assert page(app)["files"] == [file], "the same from the page cache"


def test_upload_time__by_policy(app: App) -> None:
    app.make_index("root/forks", pin(), fork_upload_time="commit")
    [file] = page(app)["files"]
    assert file["upload-time"] == COMMITTED
    app.request("PATCH", "/root/forks", ["fork_upload_time=published"])
    assert page(app)["files"][0]["upload-time"] != COMMITTED


def test_upload_time__pinned_is_when_the_commit_was_pinned(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin(), fork_upload_time="pinned")
    store = app.context.metadata._catalog.store
    assert abs(store.pinned_at("root/forks", "alpha", pin().partition("@")[2][:40]) - time.time()) < 60
    store.note_pinned("root/forks", [("alpha", pin().partition("@")[2][:40])], 1_600_000_000.0)
    app.request("PATCH", "/root/forks", [f"forks+={pin('beta')}"])
    [file] = page(app)["files"]
    assert file["upload-time"] == "2020-09-13T12:26:40Z", "another pin does not pin this one again"
    assert len(builder.orders) == 1


def test_upload_time__unknown_policy_is_refused(app: App) -> None:
    refused = app.make_index("root/forks", fork_upload_time="never", fork_build="sometimes")
    assert refused.status_int == 400
    for words in ("fork_upload_time: 'never': write published or pinned or commit", "fork_build: 'sometimes'"):
        assert words in refused.json["message"]


def test_page__of_a_fork_is_complete(app: App) -> None:
    app.make_index("root/forks", pin())
    found = page(app)
    [file] = found["files"]
    content = app.get("/root/forks/" + file["url"].rpartition("../")[2]).body
    with zipfile.ZipFile(BytesIO(content)) as archive:
        [metadata] = [archive.read(name) for name in archive.namelist() if name.endswith("METADATA")]
    assert file["size"] == len(content)
    assert file["core-metadata"] == {"sha256": hashlib.sha256(metadata).hexdigest()}
    assert app.get("/root/forks/" + file["url"].rpartition("../")[2] + ".metadata").body == metadata
    assert found["meta"]["api-version"] == "1.1"
    assert found["versions"] == [file["filename"].split("-")[1]]


def test_page__with_a_placeholder_has_its_upload_time_in_1970(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    page(app)
    builder.failure = BuildError("build-failed", "The fork's build ended with status 1.")
    app.pin(pin(commit=OTHER))
    found = page(app)
    times = {"/failed/" in file["url"]: file["upload-time"] for file in found["files"]}
    assert times[True] == EPOCH
    assert NOW.fullmatch(times[False])
    assert found["meta"]["api-version"] == "1.0", "a placeholder has no size"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2025-01-02T03:04:05Z", "2025-01-02T03:04:05Z"),
        ("2025-01-02T03:04:05.123456789Z", "2025-01-02T03:04:05.123456Z"),
        ("2025-01-02T03:04:05+00:00", "2025-01-02T03:04:05Z"),
        ("2025-01-02T03:04:05+02:00", ""),
        ("2025-01-02", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_moment__is_utc_or_nothing(given: object, expected: str) -> None:
    assert moment(given) == expected


@pytest.mark.parametrize(
    "text", ["{}", "[]", "nonsense", '{"files": [{"url": "x"}]}', '{"files": 3}', '{"files": [1]}']
)
def test_read_facts__refuses_what_is_no_page(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_facts(text, "application/vnd.pypi.simple.v1+json", "http://x/")


def test_read_facts__odd_values_are_left_out() -> None:
    file = {
        "filename": "a",
        "url": "a",
        "hashes": [],
        "size": True,
        "core-metadata": "yes",
        "provenance": "javascript:x",
    }
    text = json.dumps({"files": [file], "project-status": "active"})
    facts = read_facts(text, "application/vnd.pypi.simple.v1+json", "http://x/")
    assert facts.status == {}
    found = facts.files["a"]
    assert (found.size, found.core_metadata, found.provenance, found.sha256) == (None, None, "", "")
    assert PageFacts.loads(facts.dumps()) == facts


def test_read_facts__of_html() -> None:
    digest = "ab" * 32
    text = f'<a href="f/a.whl#sha256={digest}" data-core-metadata="sha256={digest}">a.whl</a><a href="b.whl">b.whl</a>'
    facts = read_facts(text, "text/html; charset=utf-8", "http://x/")
    assert facts.files["a.whl"].core_metadata == digest
    assert facts.of("a.whl", digest) is not None
    assert facts.of("a.whl", "") is None
    assert facts.files["b.whl"].core_metadata is None
