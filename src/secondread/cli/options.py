"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[int | None, typer.Option("--seed", help="Seed; the recipe's own where none is given.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result's path.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that read images; 0 = this one, without limits of time and memory.",
    ),
]
CacheDirectory = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for prepared images [SECONDREAD_CACHE, or the user's cache folder]."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="Only rows that fulfil this, e.g. view=PA. May be given several times."),
]
AllowCode = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        help="Code from outside that the bundle may name, my_package.my_module:MyDetector, if you trust it.",
    ),
]
AllowSharedPatients = Annotated[
    bool,
    typer.Option("--allow-shared-patients", help="Accept test patients in train; every report will say so."),
]
Every = Annotated[
    int,
    typer.Option("--every", min=1, help="Of a sequence take only each Nth frame, from the first on."),
]
FoldersAsSequences = Annotated[
    bool,
    typer.Option(
        "--folders-as-sequences",
        help="The pictures of each folder are the frames of one study, in the order of their numbers.",
    ),
]
