"""Pages in a headless browser, where there is one."""

import shutil
import subprocess

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def browse(*arguments: str, virtual_ms: int, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Open a page, give its timers `virtual_ms` milliseconds, and return what Chromium printed."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu"]
    budget = f"--virtual-time-budget={virtual_ms}"
    return subprocess.run(
        [*command, "--enable-logging=stderr", budget, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout_s,
    )
