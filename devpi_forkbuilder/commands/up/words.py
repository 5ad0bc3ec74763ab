"""The words of `up` that are not its own options: checkouts, and options for devpi-server."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from devpi_forkbuilder.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Words:
    """`checkouts` are folders; `server` is handed to devpi-server as it is."""

    checkouts: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


def split_words(words: Sequence[str], options: Mapping[str, bool], own: Iterable[str] = ()) -> Words:
    """Tell folders from options and their values; `options` are devpi-server's, with whether a value follows each.

    Raises RefusedError (`option-unknown`) with the nearest of `options` and `own`, the options of `up` itself.
    """
    checkouts: list[str] = []
    server: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            checkouts += rest
        elif word.startswith("-") and word != "-":
            server += _option(word, rest, options, (*options, *own))
        else:
            checkouts.append(word)
    return Words(tuple(checkouts), tuple(server))


def _option(word: str, rest: Iterator[str], options: Mapping[str, bool], known: Sequence[str]) -> list[str]:
    name, given, _ = word.partition("=")
    full = name if name in options else _completed(name, options)
    if full is None:
        raise _unknown(name, known)
    return [word, *([next(rest, "")] if options[full] and not given else [])]


def _completed(name: str, options: Mapping[str, bool]) -> str | None:
    """The one option that `name` begins, as argparse takes it."""
    starting = [option for option in options if name.startswith("--") and option.startswith(name)]
    return starting[0] if len(starting) == 1 else None


def _unknown(name: str, known: Sequence[str]) -> RefusedError:
    close = difflib.get_close_matches(name, sorted(set(known)), n=1)
    step = f"Did you mean {close[0]}?" if close else "See: devpi-forkbuilder up --help"
    return RefusedError("option-unknown", f"There is no option {name}.", next_step=step)
