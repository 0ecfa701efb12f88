"""The built pages under ``/``: scripts run when they are ours, or stand in a page word for word."""

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

INLINE: Final = re.compile(rb"<script\b([^>]*)>(.*?)</script>", re.S)
HASHED: Final = "/_next/static/"
FOREVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"


class Dashboard(StaticFiles):
    """A static export; each page has a policy that names the hashes of its own inline scripts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)
        self._policies: dict[str, tuple[int, str]] = {}

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return one file with its caching and, for a page, its policy."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_hashed = str(scope["path"]).startswith(HASHED) and status_code == 200
        response.headers["cache-control"] = FOREVER if is_hashed else ASK_AGAIN
        if str(full_path).endswith(".html"):
            policy = self._policy(str(full_path), stat_result.st_mtime_ns)
            response.headers["content-security-policy"] = policy
        return response

    def _policy(self, path: str, changed_ns: int) -> str:
        """Return the policy of one page, made anew when its file has changed."""
        known = self._policies.get(path)
        if known is None or known[0] != changed_ns:
            known = (changed_ns, page_policy(Path(path).read_bytes()))
            self._policies[path] = known
        return known[1]


def page_policy(page: bytes) -> str:
    """Return the Content-Security-Policy for one page."""
    hashes = sorted({_hash(body) for head, body in INLINE.findall(page) if b"src=" not in head})
    directives = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *hashes]),
        # Charts and tables set sizes in style attributes; no style can send anything away.
        "style-src": "'self' 'unsafe-inline'",
        "font-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _hash(body: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(body).digest()).decode()}'"
