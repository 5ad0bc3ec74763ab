"""What a worker has sent, judged as if the worker were its enemy: nothing is published that does not pass here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.pins.orders import Order, Versions
from devpi_forkbuilder.domain.results import Artefact, Built
from devpi_forkbuilder.domain.versions import satisfies_pin, stamp
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, MismatchError
from devpi_forkbuilder.pipeline.artifacts.restamp import stamp_wheel
from devpi_forkbuilder.pipeline.artifacts.sdist import artefact_of_sdist, repack_sdist
from devpi_forkbuilder.pipeline.artifacts.wheel import Wheel, agree, artefact_of, read_wheel

FACTS = ("python", "interpreter", "uv", "sandbox", "sandbox_program", "bounded", "network", "requires")
"""What a worker may say of how it built; the rest of the provenance is the primary's own."""
LONGEST = 4000


def refused(worker: str, why: str) -> InfrastructureError:
    """The failure of an attempt whose files are not what they have to be."""
    return InfrastructureError(
        "worker-refused",
        f"What the worker {worker} sent was refused: {why}",
        next_step="Look at that worker; another one may build it.",
        retryable=True,
    )


def recheck(
    order: Order,
    sent: tuple[Path, ...],
    target: Client | None,
    commit_time: int,
    built_version: str,
    folder: Callable[[str], Path],
) -> tuple[Artefact, ...]:
    """The artefacts of `order` in the files `sent`: one wheel, and a source distribution where one may be.

    They are copied to folders that `folder` gives. `target` is what the order is built for. Raises MismatchError and
    LimitsError.
    """
    wheels = [path for path in sent if path.name.endswith(".whl")]
    sdists = [path for path in sent if path.name.endswith(".tar.gz")]
    if len(wheels) != 1 or len(sdists) > 1 or len(wheels) + len(sdists) != len(sent):
        raise _odd("one wheel is needed, and at most one source distribution.")
    if sdists and order.versions is not Versions.PLAIN:
        raise _odd("a source distribution was not asked for.")
    wheel = read_wheel(wheels[0])
    _judge_version(order, wheel, commit_time, built_version)
    _judge_platform(wheel, target)
    copied = stamp_wheel(wheel.path, wheel.version, folder("judged"), commit_time)
    found = [artefact_of(copied, order.pin)]
    for path in sdists:
        repacked = repack_sdist(path, folder("judged-sdist"), commit_time)
        found.append(artefact_of_sdist(repacked, order.pin))
    return tuple(found)


def built_of(
    artefacts: tuple[Artefact, ...], commit_time: int, own: Mapping[str, str], claimed: Mapping[str, str]
) -> Built:
    """The result: `own` is what the primary knows, `claimed` what the worker says, of which it has the last word."""
    claims = {name: _plain(claimed[name]) for name in FACTS if name in claimed}
    return Built(artefacts, commit_time, {**claims, **own})


def as_refused(worker: str, error: ForkbuilderError) -> InfrastructureError:
    """`error`, met in what `worker` sent, as that worker's."""
    return refused(worker, error.what)


def _judge_version(order: Order, wheel: Wheel, commit_time: int, built_version: str) -> None:
    """The version is the pin's, stamped with this commit and no other."""
    if wheel.name != order.pin.name:
        agree(wheel, order.pin)
    try:
        base = Version(built_version)
    except InvalidVersion:
        raise _odd("the version that was built is none.") from None
    expected = stamp(base, commit_time, order.pin.commit) if order.versions is Versions.STAMPED else base
    if wheel.version != expected or not satisfies_pin(base, order.pin.release):
        raise _odd(f"{wheel.filename} has version {wheel.version} where {expected} of the pin is expected.")


def _judge_platform(wheel: Wheel, target: Client | None) -> None:
    """The wheel is for the order's platform, and says so of no other."""
    if target is None:
        return
    if not target.accepts(wheel.filename):
        raise _odd(f"{wheel.filename} is not for {target.interpreter} on {target.platform}.")
    for tag in wheel.tags:
        if tag.platform != "any" and not target.accepts(f"a-1-py3-none-{tag.platform}.whl"):
            raise _odd(f"{wheel.filename} says that it is for {tag}, which is not {target.platform}.")


def _odd(what: str) -> MismatchError:
    return MismatchError("worker-files", what[:1].upper() + what[1:])


def _plain(text: str) -> str:
    return "".join(char for char in text[:LONGEST] if char.isprintable())
