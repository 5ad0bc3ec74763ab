"""The page of an index's forks for people: a table, without scripts, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem;border-bottom:1px solid #ddd;"
    "vertical-align:top}code{font-size:90%}.built{color:#17692c}.failed{color:#a11}.error{max-width:40rem}"
    ".note{border-left:.3rem solid #a11;padding-left:.7rem}"
)
HEAD = "<tr><th>Project</th><th>Version</th><th>Commit</th><th>State</th><th>Files</th></tr>"


HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Should anything of a fork get through the escaping, it is still no script."""


def listing_page(index: str, states: Iterable[Mapping[str, Any]], notes: Iterable[str] = ()) -> str:
    """The page for `index` (`user/name`); `states` are the objects of the API, `notes` sentences to stand above."""
    above = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    rows = [_row(state) for state in states]
    body = f"<table>{HEAD}{''.join(rows)}</table>" if rows else "<p>No fork is pinned yet.</p>"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Forks of {escape(index)}</title>'
        f"<style>{STYLE}</style></head><body><h1>Forks of {escape(index)}</h1>{above}{body}</body></html>"
    )


def _row(state: Mapping[str, Any]) -> str:
    name = f"{escape(state['project'])}<br><code>{escape(state['url'])}</code>"
    word = f'<span class="{escape(state["state"])}">{escape(state["state"])}</span>'
    if state["log_url"]:
        word += f' <a href="{escape(state["log_url"])}">log</a>'
    if state["error"]:
        word += f'<div class="error">{escape(state["error"]["message"])}</div>'
    cells = (name, escape(state["version"] or ""), f"<code>{escape(state['commit'][:12])}</code>", word, _files(state))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _files(state: Mapping[str, Any]) -> str:
    return "<br>".join(f'<a href="{escape(file["url"])}">{escape(file["filename"])}</a>' for file in state["files"])
