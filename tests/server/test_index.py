"""The index type: settings are read, judged all at once, and stored or refused as a whole."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.errors import BuildError
from tests.server.app import COMMIT, OTHER, App, HeldBuilder, pin
from tests.server.conftest import MakeApp


def test_index__settings_have_defaults(app: App) -> None:
    assert app.make_index().status_int == 200
    config = app.config()
    assert (config["forks"], config["fork_versions"]) == ([], "stamped")
    assert config["fork_build_constraints"] == config["fork_build_env"] == []


def test_index__plus_equals_adds_a_pin_as_the_client_sends_it(app: App) -> None:
    app.make_index("root/forks", pin("alpha"))
    assert app.request("PATCH", "/root/forks", [f"forks+={pin('beta')}"]).status_int == 200
    assert app.config()["forks"] == [pin("alpha"), pin("beta")]
    assert app.request("PATCH", "/root/forks", [f"forks-={pin('alpha')}"]).status_int == 200
    assert app.config()["forks"] == [pin("beta")]


def test_index__a_whole_file_can_be_given(app: App) -> None:
    app.make_index()
    text = f"# our forks\n\n{pin('alpha')}\r\n  {pin('beta')}\n{pin('alpha')}\n"
    assert app.request("PATCH", "/root/forks", [f"forks={text}"]).status_int == 200
    assert app.config()["forks"] == [pin("alpha"), pin("beta")]


def test_index__all_faults_come_at_once_and_nothing_is_stored(app: App) -> None:
    app.make_index("root/forks", pin("alpha"))
    bad = [pin("beta", "main"), pin("gamma"), pin("gamma", OTHER), "git+https://bob:hunter2@git.example.com/x#egg=x"]
    answer = app.request(
        "PATCH", "/root/forks", ["forks=" + "\n".join(bad), "fork_versions=best", "fork_build_env=delta: A=B"]
    )
    assert answer.status_int == 400
    message = answer.json["message"]
    for words in ("line 1: not a full commit", "line 3: gamma 1.0 is pinned", "line 4:", "user info", "fork_versions"):
        assert words in message
    assert "hunter2" not in message
    assert app.config()["forks"] == [pin("alpha")]


def test_index__a_refused_new_index_does_not_exist(app: App) -> None:
    assert app.make_index("root/forks", "nonsense").status_int == 400
    assert app.request("GET", "/root/forks", Accept="application/json").status_int == 404


NO_TEXT = ({}, {"a": 1}, {"forks": []}, 5, 0, True, False, None, [5], [None], [{}], ["setuptools<81", True], [["x"]])


@pytest.mark.parametrize("key", ["forks", "fork_build_constraints", "fork_build_env", "fork_pythons", "fork_versions"])
def test_index__what_is_no_text_is_refused(app: App, key: str) -> None:
    """`{"forks": {}}` emptied the pins once, without a word: in no form of devpi's requests does it."""
    app.make_index("root/forks", pin("alpha"))
    before = app.config()
    for value in NO_TEXT:
        for body in ({key: value}, {**before, key: value}, {"type": "indexconfig", "result": {key: value}}):
            answer = app.request("PATCH", "/root/forks", body)
            assert answer.status_int == 400, body
            assert key in answer.json["message"]
        created = app.request("PUT", "/root/new", {"type": "forkbuilder", "bases": [], key: value})
        assert created.status_int == 400, value
        assert key in created.json["message"]
    assert app.config() == before
    assert app.request("GET", "/root/new", Accept="application/json").status_int == 404


def test_index__what_is_no_pin_is_refused_as_the_client_sends_it(app: App) -> None:
    app.make_index("root/forks", pin("alpha"))
    for text in ("{}", "None", "5", "[]", "forks"):
        for operator in ("=", "+="):
            answer = app.request("PATCH", "/root/forks", [f"forks{operator}{text}"])
            assert answer.status_int == 400, (operator, text)
            assert "forks" in answer.json["message"]
    assert app.config()["forks"] == [pin("alpha")]


def test_index__the_setting_itself_cannot_be_dropped(app: App) -> None:
    app.make_index("root/forks", pin("alpha"))
    assert app.request("PATCH", "/root/forks", ["forks-="]).status_int == 400
    assert app.config()["forks"] == [pin("alpha")]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("fork_build_constraints=alpha: setuptools<58", None),
        ("fork_build_constraints=setuptools<81", None),
        ("fork_build_constraints=nope: setuptools<58", "no pin names project 'nope'"),
        ("fork_build_constraints=setuptools @ https://x/y.whl", "neither a URL nor extras"),
        ("fork_build_env=alpha: KEY=VALUE", None),
        ("fork_build_env=alpha: LD_PRELOAD=/x.so", "LD_PRELOAD is set by the server itself"),
        ("fork_build_env=KEY=VALUE", "write name: KEY=VALUE"),
        ("fork_build_env=nope: KEY=VALUE", "no pin names project 'nope'"),
        ("fork_build_network=nope", "no pin names project 'nope'"),
        ("fork_pythons=nope: 3.10", "no pin names project 'nope'"),
        ("fork_build_env=alpha: TOKEN", "write name: KEY=VALUE"),
    ],
)
def test_index__recipes(app: App, setting: str, words: str | None) -> None:
    app.make_index("root/forks", pin("alpha"))
    answer = app.request("PATCH", "/root/forks", [setting])
    assert answer.status_int == (200 if words is None else 400)
    assert words is None or words in answer.json["message"]


def test_index__a_pinned_project_exists_before_its_first_build(app: App) -> None:
    app.make_index("root/forks", pin("Alpha.Beta"))
    assert app.request("GET", "/root/forks", Accept="application/json").json["result"]["projects"] == ["alpha-beta"]


def test_index__an_unpinned_project_without_files_goes(app: App) -> None:
    app.make_index("root/forks", pin("alpha"), pin("beta"))
    app.files("/root/forks/+simple/alpha/")
    app.pin()
    assert app.request("GET", "/root/forks", Accept="application/json").json["result"]["projects"] == ["alpha"]


def test_index__only_trusted_owners_may_pin(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-allow-user", "trusted")
    for user in ("trusted", "stranger"):
        app.request("PUT", f"/{user}", {"password": "secret"}, user=None)
    body = {"type": "forkbuilder", "bases": [], "forks": [pin()]}
    refused = app.request("PUT", "/stranger/forks", body, user="stranger")
    assert refused.status_int == 400
    assert "--forkbuilder-allow-user stranger" in refused.json["message"]
    assert app.request("PUT", "/trusted/forks", body, user="trusted").status_int == 200
    assert app.request("PUT", "/stranger/forks", {**body, "forks": []}, user="stranger").status_int == 200


def test_index__urls_follow_the_servers_rule_and_faults_are_told_together(app: App) -> None:
    refused = app.make_index("root/forks", pin().replace("https", "http"), pin("beta").replace("https", "file", 1))
    assert refused.status_int == 400
    only = app.make_index(
        "root/forks", f"git+http://git.example.com/a.git@{COMMIT}#egg=a", f"git+file:///b@{OTHER}#egg=b"
    )
    assert only.json["message"].count("--forkbuilder-allow-url") == 2


def test_index__allowed_prefixes_replace_the_default(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-allow-url", "https://git.example.com/org")
    assert app.make_index("root/a", pin()).status_int == 200
    assert app.make_index("root/b", pin().replace("/org/", "/organic/")).status_int == 400


def test_index__a_pinned_project_keeps_its_name_when_its_files_are_deleted(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/")
    version = next(iter(app.request("GET", "/root/forks/alpha", Accept="application/json").json["result"]))
    builder.failure = BuildError("build-failed", "The fork's build ended with status 1.")
    app.request("PATCH", "/root/forks", ["volatile=True"])
    for path in (f"/root/forks/alpha/{version}", "/root/forks/alpha", "/root/forks/alpha"):
        assert app.request("DELETE", path).status_int == 200
        assert app.request("GET", "/root/forks", Accept="application/json").json["result"]["projects"] == ["alpha"]
    assert [file["filename"].startswith("alpha-1.0+") for file in app.files("/root/forks/+simple/alpha/")] == [True]


def test_index__that_is_deleted_leaves_no_names(app: App) -> None:
    app.make_index("root/forks", pin("alpha"), pin("beta"))
    assert app.request("DELETE", "/root/forks").status_int == 201
    app.make_index("root/forks")
    assert app.request("GET", "/root/forks", Accept="application/json").json["result"]["projects"] == []
