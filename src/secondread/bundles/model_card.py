"""The model card of a bundle: what it is, what it learned from, what it promises, what it holds of patients,
and what it must not be used for. As sections, which the README beside the bundle and a report both show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from secondread.bundles.archive import CARD
from secondread.bundles.facts import Facts
from secondread.bundles.summary import NOT_STATED, figure_rows, what_it_holds, what_it_is, what_was_left_out
from secondread.outputs.whole import write_whole

Text = Annotated[str, Field(max_length=100_000)]
Cells = tuple[Text, ...]
RESEARCH = (
    "Research use, not a medical device.",
    "It ranks images by how unlike normal ones they look, and was not tested for any clinical use. A low "
    "score "
    "does not mean that an image is normal.",
)


class Section(BaseModel):
    """A title, and below it paragraphs, a table (the first line is its head), a list and code, where there
    are."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    title: Text
    paragraphs: Cells = ()
    table: tuple[Cells, ...] = ()
    items: Cells = ()
    code: Text = ""


class ModelCard(BaseModel):
    """The bundle's title, what it must not be used for, and sections."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    title: Text
    licence: Text
    sections: tuple[Section, ...] = Field(max_length=32)


def model_card(facts: Facts) -> ModelCard:
    """The card of a bundle."""
    statements = facts.document.statements
    return ModelCard(title=facts.title, licence=statements.licence, sections=tuple(_sections(facts)))


def _sections(facts: Facts) -> Iterator[Section]:
    statements, figures = facts.document.statements, facts.document.figures
    differences = tuple(_line(text) for text in facts.about.get("differences") or ())
    yield Section(title="What it is", table=(("", ""), *what_it_is(facts)))
    if differences:
        yield Section(title="Differences from the paper", items=differences)
    data = statements.data or "What the images were is not stated by whoever made this card."
    yield Section(title="Data", paragraphs=(data,))
    yield Section(title="What its threshold promises", paragraphs=(" ".join(facts.calibration["words"]),))
    if figures is None:
        yield Section(title="Figures", paragraphs=("No figures of a test were given with this card.",))
    else:
        tested = f"On {figures.normal:,} normal and {figures.abnormal:,} abnormal test images:"
        table = (("figure", "value", "95 %"), *figure_rows(figures))
        yield Section(title="Figures", paragraphs=(tested,), table=table)
    yield _privacy(facts)
    yield Section(
        title="Use",
        code="secondread score BUNDLE IMAGES -o readings\n"
        "secondread calibrate BUNDLE SITE.csv -o calibrated   # normals of your own site",
    )
    yield Section(
        title="Licence",
        paragraphs=(
            f"Licence: {statements.licence or NOT_STATED}. Licences of the data and of pretrained weights "
            "may "
            "restrict what may be done with it.",
        ),
    )


def _privacy(facts: Facts) -> Section:
    held = what_it_holds(facts)
    words = ["It holds no name, no id and no text of a file's header."]
    words.append("Of the images that it learned from it holds:" if held else "It holds no single image.")
    after = [
        "Networks keep traces too: one that draws images may draw some that it learned from. Treat the "
        "bundle as "
        "you treat its images."
    ]
    if left := what_was_left_out(facts):
        after.append(f"Left out when it was handed over: {'; '.join(left)}.")
    return Section(title="What it holds of patients", paragraphs=(" ".join(words), *after), items=tuple(held))


def as_markdown(card: ModelCard) -> str:
    """`README.md`, with the head that the Hugging Face hub reads."""
    head = ["---", "library_name: secondread", "tags: [medical-imaging, anomaly-detection]"]
    if card.licence:
        head.append(f"license: {json.dumps(card.licence)}")
    blocks = ["\n".join([*head, "---"]), f"# {_line(card.title)}", f"**{RESEARCH[0]}** {RESEARCH[1]}"]
    for section in card.sections:
        blocks += [f"## {section.title}", *section.paragraphs[:1]]
        if section.table:
            lines = [_cells(cells) for cells in section.table]
            blocks.append("\n".join([lines[0], "|---" * len(section.table[0]) + "|", *lines[1:]]))
        if section.items:
            blocks.append("\n".join(f"- {_line(item)}" for item in section.items))
        blocks += section.paragraphs[1:]
        if section.code:
            blocks.append(f"```sh\n{section.code}\n```")
    return "\n\n".join(blocks) + "\n"


def write_card(folder: Path, card: ModelCard) -> None:
    """The card as a file beside the bundle's own, for people: nothing reads it."""
    write_whole(folder / CARD, as_markdown(card).encode())


def _cells(cells: Cells) -> str:
    return "| " + " | ".join(_line(cell).replace("|", "\\|") for cell in cells) + " |"


def _line(text: object) -> str:
    return " ".join(str(text).split())
