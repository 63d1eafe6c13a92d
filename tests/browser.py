"""A Chromium for the tests of pages, and what a tab must not do."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

LAPTOP, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}


def chromium():
    """The path of a Chromium, which is installed where it is missing and can be; None where neither is so."""
    names = ("chromium", "chromium-browser", "google-chrome")
    with (Path(tempfile.gettempdir()) / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes want it too
        if not any(map(shutil.which, names)) and os.geteuid() == 0 and shutil.which("apt-get"):
            for command in ("update", "install --yes --no-install-recommends chromium"):
                run_quietly("apt-get", "--quiet", *command.split())
        if found := next(filter(None, map(shutil.which, names)), None):
            return found
        run_quietly(sys.executable, "-m", "playwright", "install", "chromium")
        installed = sorted((Path.home() / ".cache" / "ms-playwright").glob("chromium-*/chrome-linux*/chrome"))
        return str(installed[-1]) if installed else None


def run_quietly(*command):
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=240, check=False)


def serious_faults(tab):
    """What axe-core, by Deque Systems, finds on a tab's page that keeps people from using it."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in Axe().run(tab, options={"preload": False}).response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@contextmanager
def opened(browser, url, viewport=LAPTOP, scheme="light"):
    """A tab at ``url``, and the requests that it makes; afterwards it must have said nothing on the console."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    tab = context.new_page()
    wrong, requests = [], []
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(url)
    yield tab, requests
    context.close()
    assert wrong == []
