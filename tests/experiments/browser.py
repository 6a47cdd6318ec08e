"""Headless Chromium, without a network."""

import os
import shutil
import subprocess
from pathlib import Path


def chromium(page: Path, *options: str) -> str:
    """Run headless Chromium on a page and return what it prints."""
    program = shutil.which("chromium") or ""
    profile = page.parent / "profile"
    offline = ("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    command = [program, "--headless", "--disable-gpu", *sandbox, *offline, f"--user-data-dir={profile}", *options]
    result = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return result.stdout


def with_script(page: str, end: str) -> str:
    """A page that ends in a script of a test, without the policy that would not let it run."""
    return page.replace('http-equiv="Content-Security-Policy"', 'name="policy"').replace("</body>", end)
