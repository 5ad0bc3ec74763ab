"""The primary believes nothing: what hostile, late and lost workers can do, which is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets, TargetChoice, choose_targets
from devpi_forkbuilder.domain.pins.orders import Order, Versions
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, ForkbuilderError
from devpi_forkbuilder.farm import desk
from devpi_forkbuilder.farm.desk import ALIVE
from devpi_forkbuilder.farm.order_document import Announcement
from devpi_forkbuilder.farm.supervision import MOST_ATTEMPTS, SILENCE
from devpi_forkbuilder.farm.tickets import Ticket, TicketKey, WorkRefusedError
from devpi_forkbuilder.pipeline.protocols import CancelledError, NeedsPinsError
from tests.archives import write_sdist, write_wheel
from tests.farm.desks import PATIENCE, STAMPED, Site, announcement, order

FACTS = {"python": "cpython 3.11.7", "sandbox": "bwrap", "built_version": "1.0.2"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def names(built: Built) -> list[str]:
    assert all(artefact.path.is_file() for artefact in built.artefacts)
    return [artefact.filename for artefact in built.artefacts]


def refusal(call: object, *arguments: object) -> int:
    with pytest.raises(WorkRefusedError) as refused:
        call(*arguments)  # type: ignore[operator]
    return refused.value.status


def test_worker__takes_builds_and_sends(site: Site, tmp_path: Path) -> None:
    built = site.build(keep=lambda result: (names(result), result.provenance))
    ticket = site.taken()
    assert site.desk.order(ticket)["pin"] == str(order().pin)
    assert site.desk.source(ticket).is_file()
    site.desk.state(ticket, "building")
    site.desk.log(ticket, b"hello\n")
    site.send(ticket, write_wheel(tmp_path, version=STAMPED))
    site.desk.done(ticket, {**FACTS, "commit": "forged", "url": "forged", "plugin": "forged"})
    found, provenance = built.result(PATIENCE)
    assert found == [f"sample_fork-{STAMPED}-py3-none-any.whl"]
    assert provenance["worker"] == "alpha"
    assert provenance["sandbox"] == "bwrap"
    assert "forged" not in provenance.values()
    states = [State.FETCHING, State.QUEUED, State.FETCHING, State.BUILDING, State.CHECKING]
    assert site.followers[0].states == states
    assert "hello" in site.followers[0].log.text


def test_ticket__ends_with_its_attempt(site: Site, tmp_path: Path) -> None:
    built = site.build(keep=names)
    late = site.taken("late")
    offer = site.shelf.works[1].arguments["offer"]
    (tmp_path / "late").mkdir()
    site.send(late, write_wheel(tmp_path / "late", version=STAMPED))
    assert refusal(site.desk.take, offer, announcement("second")) == 409  # the first one lives
    site.clock.now += ALIVE + 1
    ticket = site.taken("second", offer)
    wheel = write_wheel(tmp_path, version=STAMPED)
    for call, *more in (
        (site.desk.order,),
        (site.desk.source,),
        (site.desk.log, b"late\n"),
        (site.desk.state, "building"),
        (site.desk.needs, ("setuptools",)),
        (site.desk.place_for, wheel.name),
        (site.desk.file, wheel.name, wheel, "0" * 64, "0" * 64),
        (site.desk.done, FACTS),
        (site.desk.failed, {"kind": "build", "reference": "late", "what": "late"}),
        (site.desk.handed_back,),
    ):
        assert refusal(call, late, *more) == 409
    site.desk.state(ticket, "building")
    site.send(ticket, wheel)
    site.desk.done(ticket, FACTS)
    assert built.result(PATIENCE) == [wheel.name]
    assert "late\n" not in site.followers[0].log.text
    assert refusal(site.desk.log, ticket, b"more") == 409
    assert refusal(site.desk.take, offer, announcement("third")) == 409


def test_ticket__of_another_order_and_forged_ones(site: Site) -> None:
    site.build()
    site.build(order("other"))
    mine, other = site.taken(), None
    site.desk.log(mine, b"")
    with pytest.raises(WorkRefusedError):
        site.desk.order(mine.replace("~1~alpha~", "~1~bravo~"))
    other = TicketKey(b"x" * 32).sign(Ticket(mine.partition("~")[0], 1, "alpha", 10**9))
    assert refusal(site.desk.order, other) == 403
    assert refusal(site.desk.order, "") == 403
    assert refusal(site.desk.order, mine[:-1] + ("0" if mine[-1] != "0" else "1")) == 403
    assert refusal(site.desk.take, mine, announcement()) == 403


def test_ticket__expires(site: Site) -> None:
    site.build()
    ticket = site.taken()
    site.clock.now += 3601
    assert refusal(site.desk.log, ticket, b"") == 409


def test_take__is_for_workers_of_this_release_that_can_build_it(site: Site) -> None:
    site.build()
    offer = site.shelf.offer()
    assert refusal(site.desk.take, offer, announcement(release="0.0.9")) == 426
    assert refusal(site.desk.take, offer, announcement(pythons=["3.12"])) == 422
    assert refusal(site.desk.take, offer, announcement(platform="3.11 linux aarch64 glibc 2.36")) == 422
    assert refusal(site.desk.take, offer, {"name": "../etc"}) == 422
    assert refusal(site.desk.take, offer, ["no", "object"]) == 422
    assert site.taken("fine", offer)


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("other_fork", STAMPED, "1.0.2"),
        ("sample_fork", "1.0.2", "1.0.2"),
        ("sample_fork", "1.0.3+20251120102233.g1a2b3c4d5e6f", "1.0.3"),
        ("sample_fork", "1.0.2+20251120102233.gffffffffffff", "1.0.2"),
        ("sample_fork", "1.0.2+20201120102233.g1a2b3c4d5e6f", "1.0.2"),
        ("sample_fork", STAMPED, "1.0.3"),
        ("sample_fork", STAMPED, "not a version"),
        ("sample_fork", STAMPED, STAMPED),
    ],
)
def test_files__of_another_project_version_or_commit_are_refused(
    site: Site, tmp_path: Path, name: str, version: str, said: str
) -> None:
    built = site.build()
    ticket = site.taken()
    site.send(ticket, write_wheel(tmp_path, name=name, version=version))
    site.desk.done(ticket, {**FACTS, "built_version": said})
    with pytest.raises(ForkbuilderError) as error:
        built.result(PATIENCE)
    assert error.value.reference == "worker-refused"
    assert "alpha" in error.value.what


@pytest.mark.parametrize(
    "tags",
    [
        "cp311-cp311-linux_aarch64",
        "cp311-cp311-win_amd64",
        "cp312-cp312-linux_x86_64",
        "cp311-cp311-manylinux_2_39_x86_64",
        "py3-none-any.win_amd64",
    ],
)
def test_files__of_another_platform_are_refused(site: Site, tmp_path: Path, tags: str) -> None:
    built = site.build()
    ticket = site.taken()
    good = write_wheel(tmp_path, version=STAMPED)
    site.send(ticket, retagged(good, tags))
    site.desk.done(ticket, FACTS)
    with pytest.raises(ForkbuilderError, match="is not"):
        built.result(PATIENCE)


def retagged(wheel: Path, tags: str) -> Path:
    from devpi_forkbuilder.pipeline.artifacts.restamp import rewrite_wheel  # noqa: PLC0415
    from devpi_forkbuilder.pipeline.artifacts.wheel import read_wheel  # noqa: PLC0415

    known = read_wheel(wheel)
    target = wheel.with_name(wheel.name.replace("py3-none-any", tags))
    python, abi, platforms = tags.split("-")
    lines = "".join(f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split("."))
    text = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n{lines}".encode()
    edits = {f"{known.dist_info}/WHEEL": lambda _data: text}
    rewrite_wheel(known, target, (2025, 1, 1, 0, 0, 0), new=known.dist_info.removesuffix(".dist-info"), edits=edits)
    return target


def test_files__with_another_hash_than_announced_end_the_attempt(site: Site, tmp_path: Path) -> None:
    built = site.build()
    ticket = site.taken()
    with pytest.raises(WorkRefusedError):
        site.send(ticket, write_wheel(tmp_path, version=STAMPED), sha256="0" * 64)
    with pytest.raises(ForkbuilderError, match="another hash"):
        built.result(PATIENCE)
    assert refusal(site.desk.done, ticket, FACTS) == 409


def test_files__that_are_no_wheels_or_too_many(site: Site, tmp_path: Path) -> None:
    built = site.build()
    ticket = site.taken()
    for name in ("../../etc/passwd", ".hidden.whl", "a.exe", "a/b.whl", "x" * 300 + ".whl"):
        assert refusal(site.desk.place_for, ticket, name) == 422
    wheel = write_wheel(tmp_path, version=STAMPED)
    site.send(ticket, wheel)
    assert refusal(site.desk.place_for, ticket, wheel.name) == 413
    site.send(ticket, write_sdist(tmp_path))
    assert refusal(site.desk.place_for, ticket, "third-1.0-py3-none-any.whl") == 413
    site.desk.done(ticket, FACTS)
    with pytest.raises(ForkbuilderError, match="was not asked for"):
        built.result(PATIENCE)


def test_files__a_source_distribution_where_it_is_asked_for(site: Site, tmp_path: Path) -> None:
    built = site.build(order(versions=Versions.PLAIN), names)
    ticket = site.taken()
    site.send(ticket, write_wheel(tmp_path))
    site.send(ticket, write_sdist(tmp_path))
    site.desk.done(ticket, FACTS)
    assert built.result(PATIENCE) == ["sample_fork-1.0.2-py3-none-any.whl", "sample_fork-1.0.2.tar.gz"]


def test_files__broken_ones_are_refused(site: Site, tmp_path: Path) -> None:
    built = site.build()
    ticket = site.taken()
    wheel = write_wheel(tmp_path, version=STAMPED)
    wheel.write_bytes(wheel.read_bytes()[:-30])
    site.send(ticket, wheel)
    site.desk.done(ticket, FACTS)
    with pytest.raises(ForkbuilderError) as error:
        built.result(PATIENCE)
    assert error.value.reference == "worker-refused"


def test_done__without_a_file(site: Site) -> None:
    site.build()
    ticket = site.taken()
    assert refusal(site.desk.done, ticket, FACTS) == 422
    assert refusal(site.desk.done, ticket, None) == 422


def test_log__hides_the_login_and_has_an_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "LOG_LIMIT", 3 * 2**20)
    site.build()
    ticket = site.taken()
    secret = site.desk.order(ticket)["login"]["password"]
    site.desk.log(ticket, f"before {secret[:7]}".encode())
    site.desk.log(ticket, f"{secret[7:]} after\n".encode())
    assert "before *** after" in site.followers[0].log.text
    assert secret not in site.followers[0].log.text
    megabytes = b"x" * 2**20
    for _ in range(2):
        site.desk.log(ticket, megabytes)
    assert refusal(site.desk.log, ticket, megabytes) == 413
    site.desk.log(ticket, b"")  # it still lives


def test_login__ends_with_the_attempt(site: Site) -> None:
    site.build()
    ticket = site.taken()
    login = site.desk.order(ticket)["login"]
    assert site.desk.index_tokens.index_of(login["user"], login["password"]) == "main/forks"
    site.desk.handed_back(ticket)
    assert site.desk.index_tokens.index_of(login["user"], login["password"]) is None


def test_state__only_the_workers_own(site: Site) -> None:
    site.build()
    ticket = site.taken()
    for state in ("built", "publishing", "queued", "nonsense", ""):
        assert refusal(site.desk.state, ticket, state) == 422
    site.desk.state(ticket, "building")


def test_failure__is_the_builds(site: Site) -> None:
    built = site.build()
    ticket = site.taken()
    assert refusal(site.desk.failed, ticket, {"kind": "build", "reference": "<b>", "what": "x"}) == 422
    assert refusal(site.desk.failed, ticket, {"kind": "nonsense", "reference": "x", "what": "x"}) == 422
    site.desk.failed(ticket, {"kind": "build", "reference": "build-failed", "what": "No.", "remedy": ["a: b"]})
    with pytest.raises(BuildError) as error:
        built.result(PATIENCE)
    assert (error.value.reference, error.value.remedy) == ("build-failed", ("a: b",))


def test_silence__gives_the_order_to_another(site: Site, tmp_path: Path) -> None:
    built = site.build(keep=names)
    first = site.taken("hung")
    site.desk.state(first, "building")
    site.shelf.states[1] = "taken"
    site.clock.now += SILENCE + 1
    second = site.taken("fresh")
    assert site.shelf.again_asked == [1]
    assert refusal(site.desk.log, first, b"I am back\n") == 409
    site.desk.state(second, "building")
    site.send(second, write_wheel(tmp_path, version=STAMPED))
    site.desk.done(second, FACTS)
    assert built.result(PATIENCE)


def test_silence__of_worker_after_worker_ends_the_build(site: Site) -> None:
    built = site.build()
    for number in range(MOST_ATTEMPTS):
        site.taken(f"worker-{number}")
        site.shelf.states[1] = "taken"
        site.clock.now += SILENCE + 1
    with pytest.raises(ForkbuilderError) as error:
        built.result(PATIENCE)
    assert error.value.reference == "workers-lost"


def test_queue__that_lost_the_order_gets_it_again(site: Site) -> None:
    site.build()
    site.shelf.offer()
    site.shelf.states.clear()
    site.clock.now += 6
    site.shelf.offer()
    assert len(site.shelf.works) == 2


def test_stop__ends_what_is_out(site: Site) -> None:
    built = site.build()
    ticket = site.taken()
    site.stopping.set()
    with pytest.raises(CancelledError):
        built.result(PATIENCE)
    assert refusal(site.desk.log, ticket, b"") == 409
    assert site.shelf.states == {}


def test_needs__of_pins_end_the_attempt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    built = site.build()
    ticket = site.taken()
    needed = order("needed")

    def needs(_requirements: tuple[str, ...], python: str) -> None:
        raise NeedsPinsError((needed,), python)

    monkeypatch.setattr(site.followers[0], "needs", needs)
    assert refusal(site.desk.needs, ticket, ("needed",)) == 409
    with pytest.raises(NeedsPinsError) as error:
        built.result(PATIENCE)
    assert error.value.orders == (needed,)


def test_workers__are_known_for_a_while(site: Site) -> None:
    site.build()
    site.taken("alpha")
    assert [one.name for one in site.desk.workers()] == ["alpha"]
    building: dict[str, tuple[Order, ...]] = dict(site.desk.building())
    assert [one.pin.name for one in building["alpha"]] == ["sample-fork"]
    assert site.desk.builder_of(order().key) == "alpha"
    site.clock.now += 91
    assert site.desk.workers() == ()


QUEUE = "forkbuilder-linux-x86_64-glibc-py3.11"
ARM = "3.12 linux aarch64 glibc 2.36"


def test_targets__of_workers_on_other_platforms(site: Site, tmp_path: Path) -> None:
    arm = Client.parse(ARM)
    assert arm is not None
    assert site.builder.server_targets().python_for(arm) is None
    site.desk.heard(Announcement.read(announcement("arm", platform=ARM, pythons=["3.12"])))
    site.desk.heard(Announcement.read(announcement("more", pythons=["3.10", "3.11"])))
    targets = site.builder.server_targets()
    assert targets.pythons == ("3.11", "3.10")
    assert targets.python_for(arm) == ARM
    assert str(targets) == "3.11, 3.10 on linux x86_64 (glibc 2.36); 3.12 on linux aarch64 (glibc 2.36)"
    built = site.build(order(python=ARM), lambda found: (names(found), found.provenance["interpreter"]))
    offer = site.shelf.offer()
    assert site.shelf.works[1].queue == "forkbuilder-linux-aarch64-glibc-py3.12"
    assert refusal(site.desk.take, offer, announcement()) == 422
    ticket = site.desk.take(offer, announcement("arm", platform=ARM, pythons=["3.12"]))["ticket"]
    assert site.desk.order(ticket)["python"] == "3.12"
    site.send(ticket, retagged(write_wheel(tmp_path, version=STAMPED), "cp312-cp312-manylinux_2_17_aarch64"))
    site.desk.done(ticket, FACTS)
    assert built.result(PATIENCE) == ([f"sample_fork-{STAMPED}-cp312-cp312-manylinux_2_17_aarch64.whl"], ARM)


def test_choice__a_client_of_another_platform_is_served_beside_the_servers_own() -> None:
    arm, home = Client.parse(ARM), Client.parse("3.12 linux x86_64 glibc 2.36")
    targets = ServerTargets(("3.12",), home, (ServerTargets(("3.12",), arm),))
    assert choose_targets(arm, targets, (), {"3.12"}) == TargetChoice(ARM)
    assert choose_targets(arm, targets, (), {ARM}) == TargetChoice(ARM, served=False)
    assert choose_targets(home, targets, (), {ARM}) == TargetChoice("3.12")
    assert not choose_targets(arm, targets, ("3.11",), {"3.12"}).served


def test_figures__say_what_waits_where(site: Site) -> None:
    site.build()
    site.shelf.offer()
    site.clock.now += 7
    figures = site.desk.figures()
    assert (figures.workers, figures.building, figures.waits) == (0, 0, {QUEUE: (7.0,)})
    site.taken(offer=site.shelf.works[1].arguments["offer"])
    figures = site.desk.figures()
    assert (figures.workers, figures.building, figures.waits) == (1, 1, {QUEUE: ()})
