"""Bundles on the Hugging Face hub, through its own library: nothing is sent or fetched unless a person
asks."""

from __future__ import annotations

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from secondread.bundles.archive import CARD, DOCUMENT, refuse_another, verify
from secondread.bundles.bundle_document import FILES
from secondread.bundles.facts import Facts
from secondread.bundles.model_card import model_card, write_card
from secondread.bundles.read_document import one_line, read_document
from secondread.errors import DataError, UserError
from secondread.outputs.whole import whole_folder, write_whole
from secondread.wording.extras import install_command


def pull(repository: str, out: Path, *, revision: str | None = None) -> str:
    """Fetch a bundle from the hub into the new folder `out`, verified by its digests; its digest.

    `bundle.json` comes first, and each other file only at the size that it declares. The card is written
    anew. Where `out` is this bundle already, it stays. Raises UserError where the hub cannot be asked or
    `out` is something else, DataError where what comes is no bundle or is damaged."""
    hub = _library()
    with tempfile.TemporaryDirectory(prefix="secondread-") as place:
        folder = Path(place)

        def fetch(name: str) -> None:
            hub.hf_hub_download(repository, name, revision=revision, local_dir=folder)

        try:
            _asked(f"{repository}: {DOCUMENT} cannot be fetched", lambda: fetch(DOCUMENT))
            document, digest = read_document(folder)
            if out.exists():
                refuse_another(out, digest)
                return digest
            for name in FILES:
                _asked(f"{repository}: {name} cannot be fetched", lambda name=name: fetch(name))
            verify(folder, document)
            card = model_card(Facts.read(folder))
        except DataError as error:
            raise DataError(str(error).replace(place, repository)) from None
        with whole_folder(out) as new:
            for name in (DOCUMENT, *FILES):
                shutil.copyfile(folder / name, new / name)
            write_card(new, card)
    return digest


def push(
    bundle: Path, repository: str, card: str, *, public: bool = False, message: str = "A secondread bundle"
) -> str:
    """Send a bundle with its model card to a repository on the hub, which is made where it is missing,
    private unless `public`; its address.

    The token is that of the hub's own library (`hf auth login`, or HF_TOKEN). Raises UserError where the hub
    refuses, DataError where a file is not what `bundle.json` declares.
    """
    hub = _library()
    document, _ = read_document(bundle)
    verify(bundle, document)
    with tempfile.TemporaryDirectory(prefix="secondread-") as place:
        stage(bundle, Path(place), card)

        def send() -> str:
            interface = hub.HfApi()
            interface.create_repo(repository, private=not public, exist_ok=True)
            return str(interface.upload_folder(repo_id=repository, folder_path=place, commit_message=message))

        return _asked(f"{repository}: the bundle cannot be sent", send)


def stage(bundle: Path, folder: Path, card: str) -> None:
    """What is sent: the bundle's own files and its card, and nothing else that lies beside them."""
    for name in (DOCUMENT, *FILES):
        shutil.copyfile(bundle / name, folder / name)
    write_whole(folder / CARD, card.encode())


def _library() -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(f"the hub needs huggingface-hub: run {install_command('download')}") from error


def _asked(what: str, ask):  # type: ignore[no-untyped-def]
    try:
        return ask()
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # the library has dozens of kinds, of the network, of rights and of names
        raise UserError(f"{what} ({one_line(error)})") from error
