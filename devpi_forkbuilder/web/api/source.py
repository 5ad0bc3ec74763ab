"""The source that a pin was built from."""

from __future__ import annotations

from typing import Any

from pyramid.response import FileResponse

from devpi_forkbuilder.devpi.requests import READ
from devpi_forkbuilder.web.api.logs import LogsView
from devpi_forkbuilder.web.api.views import ApiError


class SourceView(LogsView):
    """Source archives, for whoever may read the index."""

    def source(self) -> Any:
        """The exact tree of the commit with its submodules, as a gzipped tar."""
        pin = self._one(self._pinned(READ)).pin
        path = self.context.source(pin.url, pin.commit)
        if path is None:
            raise ApiError(404, f"The source of {pin.project} at {pin.commit7} is kept when it has been built here.")
        response = FileResponse(path, self.request, content_type="application/gzip", content_encoding=None)
        response.content_disposition = f'attachment; filename="{pin.name}-{pin.commit[:12]}.tar.gz"'
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
