"""Hook implementations for devpi-server; each unpacks, calls and returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pluggy import HookimplMarker

from devpi_forkbuilder.assembly import Service, ServiceThread, assemble, assemble_replica
from devpi_forkbuilder.devpi.answers import own_url
from devpi_forkbuilder.devpi.bootstrap import stop_on_sigterm
from devpi_forkbuilder.devpi.connections import limit_idle_connections
from devpi_forkbuilder.devpi.file_log import accept_build_entries
from devpi_forkbuilder.devpi.identity import BuildIdentity, build_identity
from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from devpi_forkbuilder.devpi.settings import INDEX_TYPE
from devpi_forkbuilder.devpi.simple.mirrors import listen
from devpi_forkbuilder.devpi.simple.pages import install
from devpi_forkbuilder.equipment import make_builder, make_farm
from devpi_forkbuilder.options import Options, add_options
from devpi_forkbuilder.pipeline.protocols import Builder
from devpi_forkbuilder.service.log_lines import write_json
from devpi_forkbuilder.web.api.metrics import metrics_of
from devpi_forkbuilder.web.browser import WEB
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.nginx import Front, site
from devpi_forkbuilder.web.page_cache.serve import KeptPages

LOCKDOWN = "devpi-lockdown"
EVERYWHERE = ("localhost", "0.0.0.0", "::", "*")  # noqa: S104  (compared with, not listened on)
hookimpl = HookimplMarker("devpiserver")


@hookimpl  # type: ignore[untyped-decorator]  # pluggy's marker is not typed for mypy's strict mode here
def devpiserver_add_parser_options(parser: Any) -> None:
    """The group "forkbuilder" of options."""
    add_options(parser)


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_get_stage_customizer_classes() -> list[tuple[str, type]]:
    """The index type. devpi-import asks for it, too, before it reads files and their logs."""
    accept_build_entries()
    return [(INDEX_TYPE, ForkbuilderIndex)]


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_get_features() -> set[str]:
    """What `/+api` tells clients."""
    return {"forkbuilder"}


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_pyramid_configure(config: Any, pyramid_config: Any) -> None:
    """Routes and tweens, and the service that is started and stopped with the server."""
    xom = pyramid_config.registry["xom"]
    options = Options.read(config.args, config.server_path)
    if options.log_format == "json":
        write_json()
    context, service = _assembled(xom, options)
    pyramid_config.registry[REGISTRY] = context
    xom.thread_pool.register(ServiceThread(service, context))
    pyramid_config.include("devpi_forkbuilder.web.routes")
    if not config.pluginmanager.has_plugin(WEB):
        pyramid_config.include("devpi_forkbuilder.web.browser")
    if not config.args.absolute_urls:
        pyramid_config.set_execution_policy(KeptPages(xom, context.pages, context.stopped, context.traffic))
    limit_idle_connections(config)
    listen()
    install()
    stop_on_sigterm()


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_get_identity(request: Any, credentials: tuple[str, str] | None) -> BuildIdentity | None:
    """A build that reads the index of its pin."""
    return build_identity(request.registry[REGISTRY].index_tokens, request, credentials)


def _assembled(xom: Any, options: Options) -> tuple[Context, Service]:
    """A replica builds nothing: it needs no tools and no sandbox."""
    return assemble_replica(xom, options) if xom.is_replica() else assemble(xom, options, _builder(xom, options))


def _builder(xom: Any, options: Options) -> Builder:
    """What builds on this machine, or what has others build."""
    return make_farm(options, own_url(xom.config.args)) if options.farm else make_builder(options)


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_metrics(request: Any) -> list[tuple[str, str, float]]:
    """Figures for `/+status`."""
    return metrics_of(request.registry[REGISTRY])


@hookimpl  # type: ignore[untyped-decorator]  # as above
def devpiserver_genconfig(config: Any, writer: Any) -> None:
    """nginx's configuration for this server, and one with logins where devpi-lockdown is installed."""
    front = _front(config)
    writer("nginx-devpi-forkbuilder.conf", site(front))
    if config.pluginmanager.has_plugin(LOCKDOWN):
        writer("nginx-devpi-forkbuilder-login.conf", site(replace(front, login=True)))


def _front(config: Any) -> Front:
    """nginx on this machine, at the address that `--outside-url` tells."""
    args, outside = config.args, urlsplit(config.outside_url or "http://localhost")
    host = "127.0.0.1" if args.host in EVERYWHERE else f"[{args.host}]" if ":" in args.host else args.host
    return Front(
        primary=f"unix:{args.unix_socket}" if args.unix_socket else f"{host}:{args.port}",
        folder=str(config.server_path),
        listen=str(outside.port or 80),
        server_name=outside.hostname or "_",
        hold=Options.read(args, config.server_path).wait,
    )
