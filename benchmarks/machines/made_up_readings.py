"""A folder of made-up readings, for the memory of the commands that go through one.

Makes, in FOLDER, a bundle of the cheap detector `spectrum`, and of ROWS images that are not there a folder
of readings as `score` writes it, a manifest with labels (one image in ten is abnormal) and a key map. Two
images are a study, four a patient.

    python benchmarks/machines/made_up_readings.py FOLDER --rows 20000
    cd FOLDER
    python .../memory.py secondread threshold bundle readings-20000 --false-alarm-rate 0.1 -o judged
    python .../memory.py secondread drift readings-20000 --bundle bundle -o drift
    python .../memory.py secondread worklist readings-20000 --key-map map-20000.csv -o worklist.csv
    python .../memory.py secondread evaluate readings-20000 manifest-20000.csv -o evaluated --bootstrap 20

With `--labelled N` only the first N images have a label. Prints what the folder takes on the disk.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from archive import bundle_in
from small_pictures import SIDE, name_of

from secondread import tables
from secondread.calibration.raw_scores import RawScores
from secondread.cohorts.listing.key_map import MappedStudy, write_key_map
from secondread.cohorts.manifest import Manifest
from secondread.outputs.folders import RECORD
from secondread.outputs.private import make_folder
from secondread.outputs.run_record import RunRecord
from secondread.readings.folder_state import hashed_patient, record_of
from secondread.readings.inputs import Inputs
from secondread.readings.reading import Reading, as_text
from secondread.readings.streamed.many_studies import many_studies
from secondread.readings.studies import STUDIES
from secondread.readings.table_writer import Columns, ReadingsTable

BASELINES = ("mean_intensity", "pixel_1nn", "spectrum")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--labelled", type=int, help="how many have a label; all where nothing is said")
    asked = parser.parse_args()
    folder, rows = asked.folder.absolute(), asked.rows
    bundle = bundle_in(folder)
    draws = np.random.default_rng(rows)
    abnormal = draws.random(rows) < 0.1
    distance = draws.gamma(4.0, 1.0, rows) + abnormal * draws.normal(1.0, 1.0, rows).clip(0)
    raw = RawScores({"distance": distance}, {"distance": "upper"})
    scores = bundle.calibration.combine(raw)
    p_values, flags = bundle.calibration.p_values(scores), bundle.calibration.flag(scores)
    others = draws.normal(size=(rows, len(BASELINES)))

    manifest = folder / f"manifest-{rows}.csv"
    labelled = rows if asked.labelled is None else asked.labelled
    with manifest.open("w", encoding="utf-8", newline="") as file:
        file.write(tables.line(["path", "split", "label", "finding", "patient_id", "study_id", "site"]))
        for n in range(rows):
            label = ("abnormal" if abnormal[n] else "normal") if n < labelled else ""
            finding = "nodule" if label == "abnormal" else ""
            site = "north" if n % 3 else "south"
            cells = (name_of(n), "test", label, finding, f"patient-{n // 4}", f"study-{n // 2}", site)
            file.write(tables.line(cells))

    out = folder / f"readings-{rows}"
    make_folder(out)
    with (
        ReadingsTable(out, Columns(("distance",), BASELINES), bundle=bundle.digest) as table,
        many_studies(out, bundle.calibration, rows) as studies,
    ):
        for n in range(rows):
            path, patient = name_of(n), hashed_patient(f"patient-{n // 4}", bundle)
            picture = draws.random((16, 16), dtype=np.float32)
            reading = Reading(
                path,
                hashlib.blake2b(path.encode(), digest_size=20).hexdigest(),
                f"study-{n // 2}",
                score=float(scores[n]),
                p_value=float(p_values[n]),
                flagged=bool(flags[n]),
                parts={"distance": float(distance[n])},
                baselines=dict(zip(BASELINES, map(float, others[n]), strict=True)),
            )
            facts = {
                "rows": float(SIDE),
                "columns": float(SIDE),
                "slices": 1.0,
                "channels": 1.0,
                "bits": 8.0,
                "format": "PNG",
                "mode": "L",
                "manufacturer": f"maker {n % 2}",
                "file_bytes": float(draws.integers(4000, 7000)),
                "bytes_per_pixel": float(draws.random()),
                "border_mean": float(picture[0].mean()),
                "border_sd": float(picture[0].std()),
            }
            fingerprint = f"{n % 4000} 1795869710460455753 1795869711855164514 {5597573 + n}"
            table.append(reading, facts, picture, patient=patient, fingerprint=fingerprint)
            studies.add(path, as_text(reading.score), reading.study_id, reading.error, patient)
        table.finish()
        studies.write(out / STUDIES, 1)
    given = Inputs((), str(manifest), Manifest.read(manifest).digest, str(folder))
    record = RunRecord("score")
    record.write(out / RECORD, **record_of(bundle, given).model_dump(mode="json") | {"finished": True})
    (folder / f"map-{rows}.csv").unlink(missing_ok=True)
    known = [
        MappedStudy(f"study-{n}", f"1.2.{n}", f"A{n}", f"patient-{n // 2}") for n in range((rows + 1) // 2)
    ]
    write_key_map(folder / f"map-{rows}.csv", known, None)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / rows:,.0f} bytes an image")


if __name__ == "__main__":
    main()
