"""Arguments and options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.completion import devices, recipe_names

MOST_SEED = 2**32 - 1
"""Of what scikit-learn draws with."""

ManifestFile = Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest (CSV or Parquet).")]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Fitted bundle: its folder or archive.")]
RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="Name of a preset (see `recipes`), or a YAML file.",
        autocompletion=recipe_names,
    ),
]
RecipeSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. detector.alpha=0.3."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Seed.", show_default="the recipe's own"),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where to compute: cpu, cuda, cuda:1 or auto.",
        autocompletion=devices,
    ),
]
Loggers = Annotated[
    list[str] | None,
    typer.Option(
        "--logger",
        metavar="NAME",
        help="Keep losses, settings and figures with csv, tensorboard or mlflow.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only errors and the result's path.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        help="Processes that read images; 0 = this one, without limits of time and memory.",
        show_default="as the cores allow",
    ),
]
CacheDirectory = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        help="Folder for prepared images.",
        show_default="SECONDREAD_CACHE, else the user's cache folder",
    ),
]
RowSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change every recipe, e.g. cohorts.unlabelled=400, or one of them: NAME:KEY=VALUE.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Runs at once.", show_default="as many as the cores allow"
    ),
]
Threads = Annotated[int, typer.Option("--threads", metavar="N", min=1, help="Processor threads of each run.")]
Bootstrap = Annotated[int, typer.Option("--bootstrap", metavar="N", min=20, help="Resamples for intervals.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="CONDITION", help="Only rows that fulfil this, e.g. view=PA."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Address of a Ray cluster that reads a manifest, or local."
    ),
]
ShardRows = Annotated[
    int | None,
    typer.Option(
        "--shard-rows",
        metavar="N",
        min=1,
        help="Read a manifest in shards of N rows, which alone are held.",
        show_default="1000 with --ray",
    ),
]
AllowCode = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        metavar="MODULE:CLASS",
        help="Code from outside that the bundle may name, my_package.my_module:MyDetector, if you trust it.",
    ),
]
AllowSharedPatients = Annotated[
    bool,
    typer.Option("--allow-shared-patients", help="Accept test patients in train; every report will say so."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace an output that is there already."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print what would be done, and do nothing."),
]
DownloadWeights = Annotated[
    bool,
    typer.Option("--download-weights", help="Fetch missing encoder weights from the Hugging Face hub."),
]
KeyMapFile = Annotated[
    Path | None,
    typer.Option(
        "--key-map",
        metavar="FILE",
        help="Private table (CSV) that leads from hashed ids back to DICOM studies.",
        show_default="none is written",
    ),
]
Every = Annotated[
    int,
    typer.Option(
        "--every", metavar="N", min=1, help="Of a sequence take only each Nth frame, from the first on."
    ),
]
FoldersAsSequences = Annotated[
    bool,
    typer.Option(
        "--folders-as-sequences",
        help="The pictures of each folder are the frames of one study, in the order of their numbers.",
    ),
]
