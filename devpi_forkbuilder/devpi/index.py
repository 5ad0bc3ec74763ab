"""The index type `forkbuilder`: its settings, and files of former pins marked as yanked.

devpi's contract: `devpiserver_get_stage_customizer_classes` and `BaseStageCustomizer`. Settings are judged in
`validate_config`, inside the transaction of the change, so a refused change leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from packaging.utils import canonicalize_name
from pyramid.threadlocal import get_current_request

from devpi_forkbuilder.devpi.names import SEVEN, IndexCustomizer, config_fields
from devpi_forkbuilder.devpi.releases import superseded_files
from devpi_forkbuilder.devpi.settings import settings_of
from devpi_forkbuilder.devpi.simple.catalog import catalog_of
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.domain.pins.settings import (
    DEFAULTS,
    LINES,
    BuildWhen,
    IndexSettings,
    SettingsRefusedError,
    is_lines,
    lines_of,
    meaningful,
)

RELEASED_ONLY = "forkbuilder.released-only"
"""In the WSGI environ: projects without a release are left out of an index's list of projects."""


class ForkbuilderIndex(IndexCustomizer):  # type: ignore[misc]  # devpi-server ships no types
    """What makes a private stage an index of forks."""

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        # Private stages of devpi-server 6 have no PEP 592 data. Every stage object is made with its customizer,
        # inherited ones too, so this is the one place through which all simple pages go.
        self._links = stage.get_simplelinks_perstage
        stage.get_simplelinks_perstage = self._links_with_yanked
        self._projects, stage.list_projects_perstage = stage.list_projects_perstage, self._listed_projects
        self._del_project, self._delete = stage.del_project, stage.delete
        self._deleted = False
        stage.del_project, stage.delete = self._del_project_but_not_its_name, self._delete_all
        if SEVEN:  # where a new index can have projects only after its settings are stored
            self._modify, stage._modify = stage._modify, self._modify_and_register

    def get_possible_indexconfig_keys(self) -> tuple[str, ...]:
        """The settings of this index type."""
        return tuple(key for key, _ in DEFAULTS)

    def get_default_config_items(self) -> tuple[tuple[str, object], ...]:
        """Their defaults."""
        return tuple((key, list(value) if isinstance(value, tuple) else value) for key, value in DEFAULTS)

    def normalize_indexconfig_value(self, key: str, value: object) -> object:
        """Text and lists of texts become lists of lines; all values are judged together in `validate_config`."""
        if value is None:  # what devpi takes for a setting that nobody knows
            raise self.InvalidIndexconfig([f"{key}: no value: write text, or remove the setting with {key}-="])
        if key not in LINES:
            return str(value)
        return list(lines_of(value)) if is_lines(value) else value

    def get_indexconfig_fields(self) -> list[Any]:
        """The settings with their defaults, as devpi-server 7 asks for them."""
        return config_fields(self.get_default_config_items(), self.normalize_indexconfig_value)

    def validate_config(self, oldconfig: Mapping[str, Any], newconfig: dict[str, Any]) -> None:
        """Judge all settings at once; register the pinned projects, so that no base's same-named project is served."""
        try:
            settings = IndexSettings.parse(newconfig)
        except SettingsRefusedError as refused:
            raise self.InvalidIndexconfig(list(refused.messages)) from refused
        faults = self._policy_faults(settings, oldconfig)
        if faults:
            raise self.InvalidIndexconfig(faults)
        for key in LINES:
            newconfig[key] = list(meaningful(lines_of(newconfig.get(key, ()))))
        if SEVEN:
            self._accepted = (settings, oldconfig)
        else:
            self._register(settings, oldconfig)
        self._build_when_stored(settings)

    def _modify_and_register(self, **changes: Any) -> Any:
        result = self._modify(**changes)
        self._register(*self._accepted)
        return result

    def _policy_faults(self, settings: IndexSettings, oldconfig: Mapping[str, Any]) -> list[str]:
        """What the server's rules say to pins that are new in a request.

        Pins that are there already stay: an import or a changed rule must not take an index out of service.
        """
        request = get_current_request()
        if request is None:
            return []
        policy: PinPolicy = request.registry["forkbuilder"].policy
        old = set(_pins_of(oldconfig))
        new = [pin for pin in settings.pins if pin not in old]
        owner = policy.owner_fault(self.stage.username) if new else None
        return ([f"forks: {owner}"] if owner else []) + policy.faults(new)

    def _build_when_stored(self, settings: IndexSettings) -> None:
        request = get_current_request()
        pinned = request.registry["forkbuilder"].pinned if request is not None else None
        if pinned is not None and settings.build is BuildWhen.PIN:
            self.stage.keyfs.tx.on_commit_success(partial(pinned.changed, self.stage.name))

    def _register(self, settings: IndexSettings, oldconfig: Mapping[str, Any]) -> None:
        stage = self.stage
        self._note_when(set(settings.pins) - set(_pins_of(oldconfig)))
        pinned = {pin.name for pin in settings.pins}
        for name in sorted(pinned):
            stage.add_project_name(name)
        for name in sorted({pin.name for pin in _pins_of(oldconfig)} - pinned):
            if stage.has_project_perstage(name) and not stage.list_versions_perstage(name):
                self._del_project(name)

    def _note_when(self, pins: Iterable[Pin]) -> None:
        """Keep when these were pinned, for `fork_upload_time=pinned`, and by whom, for the page of the index."""
        catalog, request = catalog_of(self.stage.xom), get_current_request()
        if catalog is not None:
            who = (request.authenticated_userid if request is not None else None) or ""
            catalog.store.note_pinned(self.stage.name, {(pin.name, pin.commit) for pin in pins}, time.time(), who)

    def _del_project_but_not_its_name(self, project: str) -> None:
        """Files go, the name stays while it is pinned: without it a base's same-named project would be served."""
        self._del_project(project)
        name = canonicalize_name(project)
        if not self._deleted and settings_of(self.stage).pins_of(name):
            self.stage.add_project_name(name)

    def _delete_all(self) -> None:
        """The index goes, and every name with it."""
        self._deleted = True
        self._delete()

    def _listed_projects(self) -> Any:
        projects, request = self._projects(), get_current_request()
        if request is None or not request.environ.get(RELEASED_ONLY):
            return projects
        return {name for name in projects if self.stage.list_versions_perstage(name)}

    def _links_with_yanked(self, project: str) -> Any:
        links = self._links(project)
        reasons = superseded_files(self.stage, project, settings_of(self.stage)) if links else {}
        for link in links if reasons else ():
            link.yanked = reasons.get(link.key, link.yanked)
        return links


def _pins_of(config: Mapping[str, Any]) -> tuple[Pin, ...]:
    try:
        return IndexSettings.parse(config).pins
    except SettingsRefusedError:
        return ()
