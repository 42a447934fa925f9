"""Excel workbooks, made by hand: as much of the format as a sheet of cells needs."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

Cell = str | float | bool | datetime | None

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SHEETML = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_FIRST_DAY = datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's days have no zone
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


def write_workbook(file: Path, sheets: Mapping[str, Iterable[Sequence[Cell]]]) -> Path:
    """Write the rows of each sheet; an empty sequence leaves that row out, None that cell."""
    names = list(sheets)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", _content_types(len(names)))
        parts.writestr("_rels/.rels", _relations([("officeDocument", "xl/workbook.xml")]))
        parts.writestr("xl/workbook.xml", _workbook(names))
        worksheets = [("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(names) + 1)]
        parts.writestr("xl/_rels/workbook.xml.rels", _relations([*worksheets, ("styles", "styles.xml")]))
        parts.writestr("xl/styles.xml", _STYLES)
        for number, name in enumerate(names, 1):
            parts.writestr(f"xl/worksheets/sheet{number}.xml", _sheet(sheets[name]))
    return file


def _content_types(sheets: int) -> str:
    kinds = {"workbook": "sheet.main"} | {f"worksheets/sheet{number}": "worksheet" for number in range(1, sheets + 1)}
    kinds |= {"styles": "styles"}
    parts = "".join(
        f'<Override PartName="/xl/{name}.xml" ContentType="{_SHEETML}.{kind}+xml"/>' for name, kind in kinds.items()
    )
    relations = "application/vnd.openxmlformats-package.relationships+xml"
    return f'<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType="{relations}"/>{parts}</Types>'


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>'


def _workbook(names: Sequence[str]) -> str:
    sheets = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
    return f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'


def _sheet(rows: Iterable[Sequence[Cell]]) -> str:
    written = (f'<row r="{number}">{_cells(number, row)}</row>' for number, row in enumerate(rows, 1) if row)
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(written)}</sheetData></worksheet>'


def _cells(number: int, row: Sequence[Cell]) -> str:
    return "".join(_cell(f"{chr(ord('A') + place)}{number}", one) for place, one in enumerate(row) if one is not None)


def _cell(name: str, value: Cell) -> str:
    match value:
        case bool():
            return f'<c r="{name}" t="b"><v>{int(value)}</v></c>'
        case str():
            return f'<c r="{name}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
        case datetime():
            return f'<c r="{name}" s="1"><v>{(value - _FIRST_DAY).total_seconds() / 86400}</v></c>'
        case _:
            return f'<c r="{name}"><v>{value!r}</v></c>'
