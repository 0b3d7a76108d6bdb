"""A headless browser, for tests that look at the page."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)
_SCHEMES = {"dark": 0, "light": 1}

_MEASURE = """
<script>
addEventListener("load", () => {
  ACTION
  const box = (node) => {
    const at = node.getBoundingClientRect();
    return [at.left, at.top + scrollY, at.width, at.height];
  };
  const boxes = {};
  for (const [name, css] of Object.entries(SELECTORS))
    boxes[name] = [...document.querySelectorAll(css)].map(box);
  const told = JSON.stringify({
    boxes,
    width: document.documentElement.scrollWidth,
    room: document.documentElement.clientWidth,
    lit: [...document.querySelectorAll(".on")].map((node) => node.id),
    near: [...document.querySelectorAll(".near")].map((node) => node.id),
    detail: document.getElementById("detail").textContent,
    reachable: [...document.querySelectorAll("[data-f][tabindex='0']")].map((node) => node.id),
    focus: document.activeElement.id,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
  });
  parent.postMessage([NAME, told], "*");
});
</script>
"""
_FRAMES = """<!DOCTYPE html>
<body style="margin:0">
<script>
addEventListener("message", (event) => {
  const told = document.createElement("pre");
  [told.className, told.textContent] = event.data;
  document.body.append(told);
});
</script>
FRAMES
"""
_FRAME = '<iframe style="border:0;display:block;width:{}px;height:2000px" srcdoc="{}"></iframe>'


@dataclass(frozen=True)
class Scene:
    """A page in a window of this width, after the script `action`."""

    page: str
    width: int = 1280
    action: str = ""


class Chromium:
    """Runs the browser on pages of text. Each call starts it anew, with nothing kept."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    @classmethod
    def found(cls, folder: Path) -> "Chromium":
        """Skips the test where there is no browser."""
        program = next(filter(None, map(shutil.which, _NAMES)), None)
        if program is None:
            pytest.skip(f"no headless browser: none of {', '.join(_NAMES)} is on the PATH")
        return cls(program, folder)

    def measure(
        self, scenes: dict[str, Scene], selectors: dict[str, str]
    ) -> dict[str, dict[str, Any]]:
        """Where things are in each scene."""
        frames = [
            _FRAME.format(scene.width, html.escape(_measuring(name, scene, selectors)))
            for name, scene in scenes.items()
        ]
        dumped = self._run(
            _FRAMES.replace("FRAMES", "\n".join(frames)),
            "--virtual-time-budget=8000",
            "--dump-dom",
        )
        found = re.findall(r'<pre class="([^"]*)">(.*?)</pre>', dumped, re.DOTALL)
        told = {name: json.loads(html.unescape(text)) for name, text in found}
        assert set(told) == set(scenes), "some scenes told nothing"
        return told

    def photograph(self, page: str, scheme: str, *, width: int, height: int) -> Path:
        """A picture of the page's beginning, light or dark."""
        picture = self._folder / f"{scheme}.png"
        self._run(
            page,
            f"--window-size={width},{height}",
            f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}",
            f"--screenshot={picture}",
        )
        return picture

    def _run(self, page: str, *options: str) -> str:
        source, profile = self._folder / "page.html", self._folder / "profile"
        source.write_text(page, encoding="utf-8")
        shutil.rmtree(profile, ignore_errors=True)
        done = subprocess.run(
            [self._program, *_FLAGS, f"--user-data-dir={profile}", *options, source.as_uri()],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _measuring(name: str, scene: Scene, selectors: dict[str, str]) -> str:
    script = (
        _MEASURE.replace("ACTION", scene.action)
        .replace("SELECTORS", json.dumps(selectors))
        .replace("NAME", json.dumps(name))
    )
    return scene.page.replace("</body>", script + "</body>")
