"""What devpi-server itself would answer to a request, asked before it does."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from devpi_server.views import is_requested_by_installer, is_simple_json
from pyramid.authorization import ACLHelper, Everyone
from pyramid.httpexceptions import HTTPForbidden, HTTPUnauthorized
from pyramid.interfaces import ISecurityPolicy
from webob.acceptparse import create_accept_header

from devpi_forkbuilder.domain.compat.targets import Client

READ = "pkg_read"


class _Acl:
    """What pyramid's ACLHelper looks at."""

    def __init__(self, acl: Any) -> None:
        self.__acl__ = acl


def by_installer(request: Any) -> bool:
    """Whether devpi's installer routes would match: decided by the User-Agent."""
    return bool(is_requested_by_installer(request))


def wants_json(request: Any) -> bool:
    """Whether the simple page will be JSON (PEP 691)."""
    return bool(is_simple_json(request))


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a page, as far as the page depends on it; `size` is the length of the texts that said so."""

    json: bool
    installer: bool
    client: Client | None
    size: int


def asker_of(accept: str, agent: str) -> Asker:
    """Return what the values of the headers Accept and User-Agent (empty: not sent) say to devpi's views and to us."""
    request = SimpleNamespace(accept=create_accept_header(accept or None), user_agent=agent or None)
    client = Client.of_user_agent(agent or None)
    return Asker(wants_json(request), by_installer(request), client, len(accept) + len(agent))


def may_read(request: Any, user: str, index: str) -> bool:
    """Whether the request's user may read the index; needs a transaction."""
    stage = request.registry["xom"].model.getstage(user, index)
    policy = request.registry.getUtility(ISecurityPolicy)
    return stage is not None and bool(policy.permits(request, stage, READ))


def forbidden(request: Any) -> Any:
    """The answer to users who may not read: without a login, one is asked for."""
    if request.identity is not None:
        return HTTPForbidden()
    policy = request.registry.getUtility(ISecurityPolicy)
    return HTTPUnauthorized(headers=policy.forget(request))


def everybody_reads(request: Any, user: str, index: str) -> bool:
    """Whether anybody at all may read the index, and no plugin has a say in it that depends on who asks."""
    xom = request.registry["xom"]
    stage = xom.model.getstage(user, index)
    own_rules = xom.config.hook.devpiserver_auth_denials.get_hookimpls()
    return stage is not None and not own_rules and bool(ACLHelper().permits(_Acl(stage.__acl__()), {Everyone}, READ))


def client_of(request: Any) -> Client | None:
    """What the installer that asks runs, if it says so."""
    return Client.of_user_agent(request.user_agent)


def query(request: Any, name: str) -> str | None:
    """The value of a query's parameter; None when it is not there, or when the query is not UTF-8."""
    try:
        value = request.GET.get(name)
    except UnicodeDecodeError:
        return None
    return None if value is None else str(value)


def caching_devpi(request: Any) -> bool:
    """Whether another devpi-server asks, as a mirror of an index here."""
    return str(request.user_agent or "").startswith("devpi-server/")
