"""What a bundle is, in a page of Markdown, for logs and registries of models."""

from __future__ import annotations

from secondread.bundles.bundle import Bundle
from secondread.calibration.description import describe
from secondread.wording.sizes import times


def model_card(bundle: Bundle) -> str:
    """Its method, data, training and promise; no patient, no path."""
    about, made, recipe = bundle.recipe.about, bundle.provenance, bundle.recipe
    shape = times((bundle.detector.channels, *recipe.preprocessing.size))
    stages = bundle.provenance.training.get("stages", [])
    lines = [
        f"# {about.title}",
        "",
        f"- Detector: {recipe.detector['name']}, on {shape}",
        *([f"- Paper: {about.paper}"] if about.paper else []),
        f"- Fitted: {made.created} on {made.device} in {made.precision}, seed {made.seed}",
        f"- Images: {', '.join(f'{count:,} {name}' for name, count in made.cohorts.items() if count)}",
        f"- Manifest: {made.manifest_digest}",
        f"- Bundle: {bundle.digest}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in made.versions.items())}",
        *(f"- Stage {one['name']}: {len(one['epochs'])} epochs, {one['rule']}" for one in stages),
        "",
        *(f"- {text}" for text in describe(bundle.calibration)["words"]),
        *(f"- Differs from its paper: {text}" for text in about.differences),
        "",
        "Research use, not a medical device.",
    ]
    return "\n".join(lines) + "\n"
