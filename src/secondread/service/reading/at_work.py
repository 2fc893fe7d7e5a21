"""Bundles at work: loaded once, with workers that decode for them and their gate on content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from secondread.bundles.fitted_model import FittedModel
from secondread.errors import UserError
from secondread.exporting.load import load_model
from secondread.preprocessing.kept_preparing import KeptPreparing
from secondread.service.reading.gate import Gate
from secondread.service.settings.bundles import BundleSettings
from secondread.service.settings.service import ServiceSettings


@dataclass(frozen=True)
class AtWork:
    """A bundle that reads what `settings` takes; as a shadow it is compared and not shown.

    name  of the configuration; of a shadow that of its folder
    """

    settings: BundleSettings
    model: FittedModel
    prepare: KeptPreparing
    gate: Gate
    name: str
    shadow: bool = False


@contextmanager
def at_work(settings: ServiceSettings) -> Iterator[tuple[AtWork, ...]]:
    """The bundles of a service and their shadows, for the block. Raises UserError and DataError as
    `load_model`, and UserError where one bundle stands twice."""
    found: dict[str, AtWork] = {}
    with ExitStack() as stack:
        for bundle in settings.bundles:
            for path in (bundle.bundle, *bundle.shadow):
                model = load_model(path, settings.device)
                if (other := found.get(model.digest)) is not None:
                    raise UserError(
                        f"{path}: is the bundle that stands as {other.name} already; one bundle is named "
                        "once, with all that it takes"
                    )
                prepare = KeptPreparing(model.preprocessing)
                stack.callback(prepare.close)
                shadow = path != bundle.bundle
                name = _name_of_shadow(path, model, settings) if shadow else bundle.name
                gate = Gate.of(model, bundle.gate)
                found[model.digest] = AtWork(bundle, model, prepare, gate, name, shadow)
        yield tuple(found.values())


def _name_of_shadow(path: Path, model: FittedModel, settings: ServiceSettings) -> str:
    """Its folder's, where no bundle is called so; with its digest where two shadows are."""
    shadows = [other.name for one in settings.bundles for other in one.shadow]
    taken = path.name in {one.name for one in settings.bundles} or shadows.count(path.name) > 1
    return f"{path.name[:64]}-{model.digest[:8]}" if taken else path.name[:64]
