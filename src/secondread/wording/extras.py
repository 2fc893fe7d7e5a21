"""The command that installs an extra, as it works for whoever reads the message."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlparse


def install_command(extra: str) -> str:
    """What to type for an extra such as `ray`.

    The package need not be on an index: one that was installed from a folder, a wheel or a repository is
    installed from there again, as its own record says (`direct_url.json`, PEP 610).
    """
    from importlib import metadata  # help pages need not wait for it

    try:
        recorded = metadata.distribution("secondread").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        recorded = None
    return _command(extra, json.loads(recorded) if recorded else {})


def _command(extra: str, origin: dict) -> str:
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}'{unquote(urlparse(url).path)}[{extra}]'"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}"
    return f"pip install 'secondread[{extra}]{f' @ {url}' if url else ''}'"
