"""Puts the built web app into the wheel and the source archive.

A wheel or source archive made from a checkout builds `web/` first, so installing either needs no Node.js; a
wheel made from a source archive takes the app that came with it.  An editable install builds nothing: there
`make web` does, and the server says so while the app is missing.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Set by the Makefile, which installs the package editable and would otherwise fetch Node.js for nothing.
SKIP_WEB = "EPOCHAL_SKIP_WEB"


class WebAppHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the web app where the tree has its sources."""

    def dependencies(self) -> list[str]:
        """Return the package with Node.js where the build needs one and PATH has none."""
        if not self._has_sources() or os.environ.get(SKIP_WEB):
            return []
        web = self._web_module()
        return [] if web.find_node() else [web.NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the app, or check that it came along."""
        if version == "editable" or os.environ.get(SKIP_WEB):
            return
        root = Path(self.root)
        if self._has_sources():
            self._web_module().build(root)
        elif not (root / "src/epochal/server/static/index.html").is_file():
            raise RuntimeError(
                "neither web/ nor the built web app is in this tree;\n"
                "build from a checkout of the repository, or from a source archive that `make wheel` made"
            )

    def _has_sources(self) -> bool:
        return (Path(self.root) / "web" / "package.json").is_file()

    def _web_module(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            "epochal_web_build", Path(self.root) / "scripts/webapp.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
