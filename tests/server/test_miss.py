"""The miss: one request asks, a build runs, the same request gets the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import urljoin

import pytest

from devpi_forkbuilder.errors import BuildError, InfrastructureError
from tests.server.app import COMMIT, OTHER, PIP, SIMPLE_JSON, App, HeldBuilder, pin
from tests.server.conftest import MakeApp

WHEEL = "alpha-1.0+20251120102233.g1a2b3c4d5e6f-py3-none-any.whl"
PAGE = "/root/forks/+simple/alpha/"
DEVPI = "devpi-server/6.20.3 (py3.11; linux)"


def failure() -> BuildError:
    return BuildError("build-failed", "The fork's build ended with status 1.", next_step="Read the log.")


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


@pytest.mark.parametrize("path", [PAGE, PAGE.rstrip("/"), "/root/forks/alpha", "/root/forks/alpha/"])
def test_miss__is_built_and_answered_in_one_request(app: App, path: str) -> None:
    app.make_index("root/forks", pin())
    [file] = app.files(path)
    assert file["filename"] == WHEEL
    assert len(file["hashes"]["sha256"]) == 64
    assert file["requires-python"] == ">=3.8"
    assert len(app.builder.orders) == 1


def test_miss__html_for_clients_of_pep_503(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.page(PAGE, Accept="text/html")
    assert answer.content_type == "text/html"
    assert WHEEL in answer.text


def test_miss__a_built_pin_is_not_built_again(app: App) -> None:
    app.make_index("root/forks", pin())
    first, second = app.files(PAGE), app.files(PAGE)
    assert first == second
    assert len(app.builder.orders) == 1


def test_miss__pages_of_pinned_projects_are_not_kept_by_caches(app: App) -> None:
    app.make_index("root/forks", pin())
    assert "no-cache" in app.page(PAGE).headers["Cache-Control"]


def test_miss__comes_through_an_inheriting_index(app: App) -> None:
    app.make_index("root/forks", pin())
    app.request("PUT", "/root/team", {"bases": ["root/forks"]})
    [file] = app.files("/root/team/+simple/alpha/")
    assert urljoin("/root/team/+simple/alpha/", file["url"]).startswith("/root/forks/+f/")
    assert file["filename"] == WHEEL


def test_miss__all_pins_of_a_project_are_built(app: App) -> None:
    app.make_index("root/forks", pin(version="1.0"), pin(commit=OTHER, version="2.0"))
    assert {file["filename"][:9] for file in app.files(PAGE)} == {"alpha-1.0", "alpha-2.0"}


def test_miss__names_are_normalized(app: App) -> None:
    app.make_index("root/forks", pin("Alpha_Beta"))
    assert len(app.files("/root/forks/+simple/alpha-beta/")) == 1


def test_miss__one_build_for_many_clients(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.gate.clear()
    clients = [in_background(lambda: app.files(PAGE)) for _ in range(4)]
    builder.gate.set()
    for thread, _ in clients:
        thread.join(20)
    assert [results for _, results in clients] == [clients[0][1]] * 4
    assert len(builder.orders) == 1


def test_miss__a_long_build_is_held_with_newlines(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    answer = app.page(PAGE)
    stream = iter(answer.app_iter)
    assert next(stream) == b"\n"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Cache-Control"] == "no-store"
    assert app.context.seats.taken == 1
    builder.gate.set()
    body = b"".join(stream)
    assert json.loads(body)["files"][0]["filename"] == WHEEL
    answer.app_iter.close()
    assert app.context.seats.taken == 0


def test_miss__a_held_page_that_fails_is_complete(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    builder.failure = failure()
    answer = app.page(PAGE, Accept="text/html")
    stream = iter(answer.app_iter)
    next(stream)
    builder.gate.set()
    body = b"".join(stream).decode()
    assert body.lstrip().startswith("<!DOCTYPE html>")
    assert body.rstrip().endswith("</body></html>")
    assert "+forks/alpha/" in body


def test_miss__a_client_that_leaves_does_not_stop_the_build(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    answer = app.page(PAGE)
    next(iter(answer.app_iter))
    answer.app_iter.close()
    assert app.context.seats.taken == 0
    builder.gate.set()
    assert WHEEL in app.page(PAGE).text
    assert len(builder.orders) == 1


def test_miss__half_of_the_threads_may_be_held(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")  # the application has 8 threads
    app.make_index("root/forks", pin())
    builder.gate.clear()
    held = [app.page(PAGE) for _ in range(4)]
    assert "/failed/busy/" in app.page(PAGE).text
    for answer in held:
        answer.app_iter.close()
    again = app.page(PAGE)
    assert again.status_int == 200
    again.app_iter.close()


def test_miss__a_failure_is_a_placeholder_that_outranks_and_fails_closed(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.failure = failure()
    [file] = app.files(PAGE)
    assert file["filename"] == "alpha-1.0+20251120102233.g1a2b3c4d5e6f-py2.py3-none-any.whl"
    answer = app.get(urljoin(PAGE, file["url"]))
    log_url = f"http://devpi.example.com/root/forks/+forks/alpha/{COMMIT}/log"
    cause = "compiling script>alert(1)/script>"  # the last line of the log, without what would begin a tag
    assert answer.status == f"424 Build of alpha 1.0 from 1a2b3c4 failed (building): {cause}; see {log_url}"
    assert answer.content_type == "text/plain"
    assert "compiling <script>" in answer.text
    assert "Read the log." in answer.text


def test_miss__a_failure_is_remembered(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.failure = failure()
    assert app.files(PAGE) == app.files(PAGE)
    assert len(builder.orders) == 1


def test_miss__a_failure_hides_no_good_file(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin(version="1.0"))
    app.files(PAGE)
    builder.failure = failure()
    app.pin(pin(version="1.0"), pin(commit=OTHER, version="2.0"))
    names = [file["filename"] for file in app.files(PAGE)]
    assert names[0] == WHEEL
    assert names[1].startswith("alpha-2.0+")


def test_miss__files_of_a_former_pin_are_yanked(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.pin(pin(commit=OTHER))
    files = {file["filename"]: file.get("yanked") for file in app.files(PAGE)}
    assert files.pop(WHEEL) == "built from 1a2b3c4, the index now pins 2b3c4d5"
    assert list(files.values()) == [None]
    assert 'data-yanked="built from' in app.page(PAGE, Accept="text/html").text


def test_miss__a_caching_devpi_gets_no_placeholder(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.failure = failure()
    answer = app.page(PAGE, User_Agent=DEVPI)
    assert answer.status_int == 503


def test_miss__an_answer_to_a_caching_devpi_that_has_begun_is_cut_off(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    builder.failure = failure()
    answer = app.page(PAGE, User_Agent=DEVPI)
    stream = iter(answer.app_iter)
    assert (answer.status_int, next(stream)) == (200, b"\n")
    builder.gate.set()
    with pytest.raises(InfrastructureError) as told:
        list(stream)
    assert told.value.reference == "page-cut-off"
    answer.app_iter.close()
    assert app.context.seats.taken == 0
    assert app.page(PAGE, User_Agent=DEVPI).status_int == 503


def test_miss__an_answer_in_html_is_never_cut_off(make_app: MakeApp, builder: HeldBuilder) -> None:
    """Behind a proxy that speaks HTTP/1.0 its end would not be missed, and the page be one without files."""
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    builder.failure = failure()
    stream = iter(app.page(PAGE, User_Agent=DEVPI, Accept="text/html").app_iter)
    next(stream)
    builder.gate.set()
    assert "/failed/building/" in b"".join(stream).decode()


def test_miss__an_answer_begun_for_a_caching_devpi_ends_with_the_page(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    stream = iter(app.page(PAGE, User_Agent=DEVPI).app_iter)
    next(stream)
    builder.gate.set()
    assert json.loads(b"".join(stream))["files"][0]["filename"] == WHEEL


@pytest.mark.parametrize("accept", [SIMPLE_JSON, "text/html"])
def test_cached__never_builds_and_says_so(app: App, builder: HeldBuilder, accept: str) -> None:
    app.make_index("root/forks", pin())
    answer = app.page("/root/forks/+cached/alpha/", Accept=accept)
    assert "failed/not-built/alpha-1.0+0.g1a2b3c4d5e6f-py2.py3-none-any.whl" in answer.text
    assert builder.orders == []
    path = f"/root/forks/+forks/alpha/{COMMIT}/failed/not-built/alpha-1.0+0.g1a2b3c4d5e6f-py2.py3-none-any.whl"
    assert "is not built" in app.get(path).status


def test_cached__is_the_same_page_once_built(app: App) -> None:
    app.make_index("root/forks", pin())
    assert app.files(PAGE) == app.files("/root/forks/+cached/alpha/")


def test_cached__redirects_stay_on_cached(app: App) -> None:
    app.make_index("root/forks", pin("alpha-beta"))
    answer = app.page("/root/forks/+cached/Alpha_Beta/")
    assert answer.status_int == 302
    assert answer.location.endswith("/root/forks/+cached/alpha-beta/")


@pytest.mark.parametrize("page", [PAGE, "/root/forks/+cached/alpha/"])
@pytest.mark.parametrize(
    ("option", "stage", "said"),
    [
        ("--forkbuilder-cached-only", "not-built", "is not built"),
        ("--offline-mode", "not-cached", "alpha 1.0 from 1a2b3c4 is not in the offline cache"),
    ],
)
def test_cached_only__servers_never_build(
    make_app: MakeApp, builder: HeldBuilder, option: str, stage: str, said: str, page: str
) -> None:
    app = make_app(option)
    app.make_index("root/forks", pin())
    name = "alpha-1.0+0.g1a2b3c4d5e6f-py2.py3-none-any.whl"
    assert f"/failed/{stage}/{name}" in app.files(page)[0]["url"]
    answer = app.get(f"/root/forks/+forks/alpha/{COMMIT}/failed/{stage}/{name}")
    assert answer.status_int == 424
    assert said in answer.status
    assert said in answer.text
    assert builder.orders == []


@pytest.mark.parametrize("path", ["/root/nope/+simple/alpha/", "/root/forks/+simple/nope/"])
def test_miss__unknown_index_or_project_is_devpis_own_404(app: App, path: str) -> None:
    app.make_index("root/forks", pin())
    assert app.page(path).status_int == 404
    assert app.builder.orders == []


def test_miss__a_project_without_a_pin_is_untouched(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.page("/root/forks/+simple/")
    assert answer.json["projects"] == [{"name": "alpha"}]
    assert "Cache-Control" not in answer.headers


def test_miss__head_builds_nothing(app: App) -> None:
    app.make_index("root/forks", pin())
    app.request("HEAD", PAGE, user=None, User_Agent=PIP)
    assert app.builder.orders == []


@pytest.mark.parametrize("path", ["/+api?x=%ff", "/root/forks/+forks/alpha?wait=%ff", "/root/forks/+forks?python=%ff"])
def test_query__that_is_not_utf8_is_no_fault_of_the_server(app: App, path: str) -> None:
    app.make_index("root/forks", pin())
    assert app.request("GET", path, Accept="application/json").status_int == 200


def test_cached__a_caching_devpi_gets_no_placeholder(app: App) -> None:
    app.make_index("root/forks", pin())
    assert app.page("/root/forks/+cached/alpha/", User_Agent=DEVPI).status_int == 503


def test_cached_only__a_build_that_is_asked_for_is_refused(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-cached-only")
    app.make_index("root/forks", pin())
    answer = app.request("POST", "/root/forks/+forks/alpha/build", {})
    assert answer.status_int == 409
    assert "never builds" in answer.json["message"]
    assert builder.orders == []


def test_build__a_diagnosis_is_asked_for_at_once_and_told_with_the_state(app: App, builder: HeldBuilder) -> None:
    builder.failure = BuildError(
        "hook-failed", "No.", next_step="It builds with: x", remedy=("fork_pythons: alpha: 3.9",)
    )
    app.make_index("root/forks", pin())
    app.page("/root/forks/+simple/alpha/")
    assert [order.diagnose for order in builder.orders] == [False]
    builder.gate.clear()
    answer = app.request("POST", "/root/forks/+forks/alpha/build", {"diagnose": True})
    assert answer.status_int == 202
    builder.gate.set()
    (state,) = app.get("/root/forks/+forks/alpha?wait=20", Accept="application/json").json["result"]
    while state["state"] != "failed":
        (state,) = app.get("/root/forks/+forks/alpha?wait=20", Accept="application/json").json["result"]
    assert [order.diagnose for order in builder.orders] == [False, True]
    assert state["error"]["remedy"] == ["fork_pythons: alpha: 3.9"]
    assert app.request("POST", "/root/forks/+forks/alpha/build", {"diagnose": "yes"}).status_int == 400
