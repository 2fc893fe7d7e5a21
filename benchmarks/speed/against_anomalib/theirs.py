"""anomalib's PaDiM, as its documentation has it and as lean as its model can be asked. Runs in anomalib's own
environment, which has nothing of this project.

    python theirs.py fit NORMALS STATE
    python theirs.py score STATE FILES TABLE --way engine --batch 1
    python theirs.py score STATE FILES TABLE --way lean --batch 8
    python theirs.py score STATE FILES TABLE --way engine --batch 32 --workers 8

`engine` is `Engine.predict` over a `PredictDataset`, without the pictures that it would draw of each result;
32 images and 8 workers are what its data module `Folder` takes where nothing is said.
`lean` reads files with anomalib's reader and asks its preprocessing and its model, without Lightning. Weights
of the backbone are random, as no file of them need be had; the speed does not depend on them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from anomalib.data import Folder, PredictDataset
from anomalib.engine import Engine
from anomalib.models import Padim
from torch.utils.data import DataLoader

LAYERS = ["layer1", "layer2", "layer3"]


def model() -> Padim:
    torch.manual_seed(0)
    return Padim(backbone="resnet18", layers=LAYERS, pre_trained=False, n_features=100, visualizer=False)


def engine(folder: Path) -> Engine:
    return Engine(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def fit(normals: Path, state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True)
    data = Folder(
        name="normals",
        normal_dir=normals,
        train_batch_size=16,
        num_workers=0,
        test_split_mode="none",
        val_split_mode="none",
    )
    padim = model()
    runner = engine(state)
    data.setup()
    runner.fit(model=padim, train_dataloaders=data.train_dataloader())
    runner.trainer.save_checkpoint(state / "padim.ckpt")
    torch.save(padim.model.state_dict(), state / "padim.pt")


def by_engine(state: Path, files: Path, batch: int, workers: int) -> list[tuple[str, float]]:
    dataset = PredictDataset(path=files)
    loader = DataLoader(dataset, batch_size=batch, collate_fn=dataset.collate_fn, num_workers=workers)
    found = engine(state).predict(model=model(), dataloaders=loader, ckpt_path=state / "padim.ckpt")
    return [
        (path, float(score))
        for one in found or []
        for path, score in zip(one.image_path, one.pred_score, strict=True)
    ]


def lean(state: Path, files: Path, batch: int) -> list[tuple[str, float]]:
    padim = model().eval()
    saved = torch.load(state / "padim.pt", weights_only=True)
    for name in ("mean", "inv_covariance"):
        setattr(padim.model.gaussian, name, saved[f"gaussian.{name}"])
    padim.model.load_state_dict(saved)
    dataset = PredictDataset(path=files)
    found = []
    with torch.inference_mode():
        for start in range(0, len(dataset), batch):
            items = [dataset[row] for row in range(start, min(start + batch, len(dataset)))]
            images = torch.stack([padim.pre_processor(item.image[None])[0] for item in items])
            scores = padim.model(images).pred_score.flatten()
            found += [(item.image_path, float(score)) for item, score in zip(items, scores, strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    fitting = steps.add_parser("fit")
    fitting.add_argument("normals", type=Path)
    fitting.add_argument("state", type=Path)
    scoring = steps.add_parser("score")
    scoring.add_argument("state", type=Path)
    scoring.add_argument("files", type=Path)
    scoring.add_argument("table", type=Path)
    scoring.add_argument("--way", choices=["engine", "lean"], default="engine")
    scoring.add_argument("--batch", type=int, default=1)
    scoring.add_argument("--workers", type=int, default=0, help="that read files, of `engine`")
    given = parser.parse_args()
    if given.step == "fit":
        fit(given.normals, given.state)
        return
    asked = (given.state, given.files, given.batch)
    found = by_engine(*asked, given.workers) if given.way == "engine" else lean(*asked)
    with given.table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "score"), *found])


if __name__ == "__main__":
    main()
