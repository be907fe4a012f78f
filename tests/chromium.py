"""How tests start Chromium: the system's, otherwise the one that Playwright installed."""

from __future__ import annotations

import shutil
from typing import Any

PLAYWRIGHT_TURNS_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
)
"""Named again, as of several such lists Chromium takes the last."""
WE_TURN_OFF = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
"""Pages of its address bar, which nobody sees here, and which would take two thirds of its time: one or two processes
for each window."""

OPTIONS: dict[str, Any] = {
    "executable_path": shutil.which("chromium"),
    "args": [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--disable-features={','.join(PLAYWRIGHT_TURNS_OFF + WE_TURN_OFF)}",
    ],
}
