"""`POST /{user}/{index}/+forks/+identity`: the name of a project that only its build back end knows.

To ask is to run code of the repository on the server, so it takes what pinning takes: the permission to modify an index
whose owner may pin, and a URL that the server allows.
"""

from __future__ import annotations

import json
from typing import Any

from devpi_forkbuilder.devpi.settings import is_forkbuilder
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin, PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.fragments import UNNAMED
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.web.api.views import ApiError, json_answer
from devpi_forkbuilder.web.context import REGISTRY, Context

KIND = "forkidentity"
FIELDS = ("url", "commit", "subdirectory")


def identity_view(request: Any) -> Any:
    """Answer at once: 202 while the name is computed, 200 with the name or with the reason why there is none."""
    context: Context = request.registry[REGISTRY]
    order = _order(request, context)
    if context.identities is None or context.cached_only:
        raise ApiError(409, "This server never builds, so it computes no names.")
    try:
        found = context.identities.ask(order)
    except ForkbuilderError as error:
        failed = {"reference": error.reference, "message": error.what, "next_step": error.next_step}
        return json_answer(200, kind=KIND, result={"state": "failed", "error": failed})
    if found is None:
        return json_answer(202, kind=KIND, result={"state": "computing"})
    return json_answer(200, kind=KIND, result={"state": "known", "project": found.name, "version": found.version})


def _order(request: Any, context: Context) -> Order:
    """What is asked for. Raises ApiError."""
    stage = request.context.stage
    if not request.has_permission("index_modify", stage):
        raise ApiError(403, f"You need the permission 'index_modify' on {stage.name}.")
    if not is_forkbuilder(stage):
        raise ApiError(404, f"The index {stage.name} is not of type forkbuilder: it has no forks.")
    pin = _pin(request)
    fault = context.policy.owner_fault(stage.username) or context.policy.url_fault(pin.url)
    if fault is not None:
        raise ApiError(400, f"forks: {fault}")
    return context.lookup.order_of(stage, pin)


def _pin(request: Any) -> Pin:
    """The pin that the body describes, under a name that stands for the unknown one."""
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"The body is not JSON: {error}.") from error
    texts = isinstance(body, dict) and all(isinstance(value, str) for value in body.values())
    if not texts or set(body) - set(FIELDS) or not {"url", "commit"} <= set(body):
        raise ApiError(400, "The body is an object with the texts url and commit, and subdirectory where there is one.")
    folder = f"&subdirectory={body['subdirectory']}" if body.get("subdirectory") else ""
    try:
        return Pin.parse(f"git+{body['url']}@{body['commit']}#egg={UNNAMED}{folder}")
    except PinsRefusedError as refused:
        raise ApiError(400, "; ".join(f"{fault.problem}: {fault.fix}" for fault in refused.faults)) from refused
