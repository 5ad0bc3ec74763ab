"""The one error root: what happened, whose it is and what to do next, in words a user can act on."""

from __future__ import annotations

from enum import Enum


class Kind(str, Enum):
    """Whose fault a failure is; the `error.kind` of the HTTP API."""

    SOURCE = "source"
    BUILD = "build"
    MISMATCH = "mismatch"
    LIMITS = "limits"
    REFUSED = "refused"
    INFRASTRUCTURE = "infrastructure"


WHOSE = {
    Kind.SOURCE: "the repository, the commit or the credentials for it",
    Kind.BUILD: "the fork's own build",
    Kind.MISMATCH: "the pin and the fork do not agree",
    Kind.LIMITS: "the build went past a limit of this server",
    Kind.REFUSED: "a rule of this server",
    Kind.INFRASTRUCTURE: "this server",
}


class ForkbuilderError(Exception):
    """A failure that is reported to users.

    `reference` is a short, stable, hyphenated name for documentation and tests (`commit-missing`);
    `what` says what happened, in one sentence; `next_step` says what to do. Neither may hold a secret.
    `retryable` says that the same work may succeed later without a change by anybody.
    """

    kind = Kind.INFRASTRUCTURE
    http_status = 500

    def __init__(self, reference: str, what: str, *, next_step: str = "", retryable: bool = False) -> None:
        super().__init__(reference, what)
        self.reference = reference
        self.what = what
        self.next_step = next_step
        self.retryable = retryable

    @property
    def whose(self) -> str:
        """Whose failure it is, as a phrase."""
        return WHOSE[self.kind]

    @property
    def message(self) -> str:
        """What happened and what to do next, in one line."""
        return f"{self.what} {self.next_step}".strip()

    def __str__(self) -> str:
        return self.message


class SourceError(ForkbuilderError):
    """The repository, its commit or the credentials for it."""

    kind = Kind.SOURCE
    http_status = 424


class BuildError(ForkbuilderError):
    """The project's own build failed."""

    kind = Kind.BUILD
    http_status = 424

    def __init__(
        self,
        reference: str,
        what: str,
        *,
        next_step: str = "",
        retryable: bool = False,
        remedy: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reference, what, next_step=next_step, retryable=retryable)
        self.remedy = remedy
        """Lines of settings with which the build was seen to succeed."""


class MismatchError(ForkbuilderError):
    """What was built is not what was pinned, or is not a valid wheel."""

    kind = Kind.MISMATCH
    http_status = 424


class LimitsError(ForkbuilderError):
    """Time, silence, size or memory."""

    kind = Kind.LIMITS
    http_status = 424


class RefusedError(ForkbuilderError):
    """Policy: a pin, a URL or a request that this server does not accept."""

    kind = Kind.REFUSED
    http_status = 400


class InfrastructureError(ForkbuilderError):
    """This server: disk, interpreter, a missing program, an unreachable primary. Retried by default."""

    kind = Kind.INFRASTRUCTURE
    http_status = 503

    def __init__(self, reference: str, what: str, *, next_step: str = "", retryable: bool = True) -> None:
        super().__init__(reference, what, next_step=next_step, retryable=retryable)
