"""devpi's simple pages with the facts of each file.

devpi writes a page link by link and has no hook for more keys, so the two methods of its view that write project
pages are replaced: the one for JSON by our own, which is faster than devpi's; the one for HTML, to which no further
keys are added any more (PEP 833), by one that only says which wheels have core metadata.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from devpi_common.metadata import splitbasename
from devpi_common.types import parse_hash_spec
from devpi_common.url import URL
from devpi_server.views import PyPIView

from devpi_forkbuilder.devpi.names import SEVEN, has_core_metadata, is_mirror
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.devpi.simple.catalog import Catalog, catalog_of
from devpi_forkbuilder.domain.pins.settings import UploadTime
from devpi_forkbuilder.domain.simple.file_facts import FileFacts, PageFacts
from devpi_forkbuilder.domain.simple.json_page import described, json_page

JSON_METHOD, HTML_METHOD = "_simple_list_project_json_v1", "_simple_list_project"
SAMPLE = "+f/x"


@dataclass(frozen=True, slots=True)
class Source:
    """An index whose files are on a page. `learned` is what the upstream of a mirror says; None: not a mirror.

    `prefix` comes before a file's path below the index to make a reference from the page.
    """

    stage: Any
    project: str
    prefix: str
    policy: UploadTime
    learned: PageFacts | None

    def facts(self, link: Any, digest: str, catalog: Catalog) -> FileFacts | None:
        """What is known of a file."""
        if self.learned is not None:
            return self.learned.of(link.key, digest)
        return catalog.published.of(self.stage, self.project, link, self.policy)

    def announces(self, link: Any, facts: FileFacts | None) -> bool:
        """Whether the core metadata of a file is available here (PEP 658)."""
        if not link.key.endswith(".whl"):
            return False
        announced = facts is not None and facts.core_metadata is not None
        if self.learned is not None:
            # a wheel that devpi does not fetch itself cannot be kept to read it
            return announced or not self.stage.use_external_url
        return announced or facts is None or facts.size is None


class PageSources:
    """The indexes behind a page, each looked up once. Used within a transaction."""

    def __init__(self, view: Any, stage: Any, project: str, catalog: Catalog) -> None:
        self._view = view
        self._page_stage = stage
        self._project = project
        self._catalog = catalog
        self._known: dict[str, Source] = {}

    def of(self, link: Any) -> tuple[Source, str]:
        """Where a link leads to: the index, and the path below it with the hash as fragment."""
        user, index, path = link.href.split("/", 2)
        name = f"{user}/{index}"
        source = self._known.get(name)
        if source is None:
            source = self._known[name] = self._source(name)
        return source, path

    @property
    def status(self) -> dict[str, str]:
        """The project status (PEP 792), where all files come from one mirror."""
        pages = [source.learned for source in self._known.values()]
        return dict(pages[0].status) if len(pages) == 1 and pages[0] is not None else {}

    def _source(self, name: str) -> Source:
        stage = self._page_stage
        if stage.name != name:
            stage = self._view.xom.model.getstage(name)
        mirror = is_mirror(stage)
        learned = (self._catalog.store.page((name, self._project)) or PageFacts()) if mirror else None
        policy = settings_of(stage).upload_time if is_forkbuilder(stage) else UploadTime.PUBLISHED
        return Source(stage, self._project, self._prefix(name), policy, learned)

    def _prefix(self, name: str) -> str:
        request = self._view.request
        if self._view._use_absolute_urls:
            return f"{request.application_url.rstrip('/')}/{name}/"
        return str(URL(request.path_info).relpath(f"/{name}/{SAMPLE}")).removesuffix(SAMPLE)


def install() -> None:
    """Replace the two methods of devpi's view, once in each process."""
    for name, make in ((JSON_METHOD, _json), (HTML_METHOD, _html)):
        original = getattr(PyPIView, name, None)
        if original is not None and not hasattr(original, "__wrapped__"):
            setattr(PyPIView, name, make(original))


Method = Callable[..., Iterable[bytes]]


def _json(original: Method) -> Method:
    @functools.wraps(original)
    def page(view: Any, stage: Any, project: str, result: Any, *more: Any) -> Iterable[bytes]:
        catalog = catalog_of(view.xom)
        if catalog is None:
            return original(view, stage, project, result, *more)
        sources = PageSources(view, stage, project, catalog)
        enabled = has_core_metadata(view.xom.config)
        # made now: when the body is sent, the transaction is over
        files = [_file(link, sources, catalog, enabled=enabled) for link in result]
        return iter([json_page(project, files, (version_of(link.key) for link in result), sources.status)])

    return page


def _html(original: Method) -> Method:
    @functools.wraps(original)
    def page(view: Any, stage: Any, project: str, result: Any, *more: Any) -> Iterable[bytes]:
        catalog = catalog_of(view.xom)
        if catalog is not None:
            sources = PageSources(view, stage, project, catalog)
            for link in result:
                source, path = sources.of(link)
                announces = source.announces(link, source.facts(link, _sha256(path), catalog))
                link.core_metadata = _announcement(link) if announces else None
        return original(view, stage, project, result, *more)

    return page


def _announcement(link: Any) -> Any:
    """Return what devpi's HTML page has to find in a link: hashes, if there are any, or True in version 6."""
    return (link.core_metadata or {}) if SEVEN else True


def _file(link: Any, sources: PageSources, catalog: Catalog, *, enabled: bool) -> dict[str, Any]:
    source, path = sources.of(link)
    facts = source.facts(link, _sha256(path), catalog)
    return described(
        link.key,
        source.prefix + path.partition("#")[0],
        _digest(path),
        facts=facts,
        announces=enabled and source.announces(link, facts),
        requires_python=link.require_python,
        yanked=link.yanked,
    )


def _sha256(path: str) -> str:
    kind, value = _digest(path)
    return value if kind == "sha256" else ""


def _digest(path: str) -> tuple[str, str]:
    """The hash in a link's fragment: its name and value; both empty when there is none."""
    fragment = path.partition("#")[2]
    if fragment.startswith("sha256="):
        return "sha256", fragment[7:]
    algorithm, value = parse_hash_spec(fragment)
    return (fragment.partition("=")[0], value) if algorithm else ("", "")


@functools.lru_cache(maxsize=65536)
def version_of(filename: str) -> str:
    """The version that devpi reads from a file's name."""
    if filename.endswith(".whl") and filename.count("-") >= 4:
        return filename.split("-", 2)[1]
    return str(splitbasename(filename, checkarch=False)[1])
