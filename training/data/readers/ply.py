"""PLY, the Stanford polygon format: text and binary, with faces of any and of mixed sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]  # a list where the rows of a list property differ in length

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class Property:
    """kind: numpy's name of the type. count: that of the length before a list, None for a single number."""

    name: str
    kind: str
    count: str | None = None


@dataclass(frozen=True)
class Element:
    """A table of the file."""

    name: str
    rows: int
    properties: tuple[Property, ...]


def read_ply(path: Path) -> tuple[Float64Array, Int64Array | list[list[int]]]:
    """Vertices (n, 3) float64 and polygons: (m, k) int64 when all have k corners, else a list of corner lists.

    ValueError says what was expected and what was found.
    """
    data = path.read_bytes()
    form, elements, start = _header(data)
    columns: dict[str, Columns] = {}
    if form == "ascii":
        tokens, at = data[start:].decode("ascii", "replace").split(), 0
        for element in elements:
            columns[element.name], at = _text_rows(tokens, at, element)
    else:
        for element in elements:
            columns[element.name], start = _binary_rows(data, start, element, BYTE_ORDERS[form])
    if columns.get("tristrips", {}):
        raise ValueError("expected faces, found triangle strips")
    vertex, face = columns.get("vertex", {}), columns.get("face", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise ValueError("expected vertices with x, y and z, found none")
    corners = next((face[name] for name in CORNERS if name in face), np.zeros((0, 3), np.int64))
    points = np.stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"], axis=1)
    if isinstance(corners, list):
        return points, [row.astype(np.int64).tolist() for row in corners]
    return points, corners.astype(np.int64)


def _header(data: bytes) -> tuple[str, list[Element], int]:
    """The form, the elements, and where the rows begin."""
    end = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", data)
    if end is None:
        raise ValueError("expected a line end_header, found none")
    form, elements = "", list[Element]()
    for line in data[: end.start()].decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:1] == ["element"]:
            elements.append(Element(words[1], int(words[2]), ()))
        elif words[:1] == ["property"]:
            last = elements[-1]
            elements[-1] = Element(last.name, last.rows, (*last.properties, _property(words)))
    if form != "ascii" and form not in BYTE_ORDERS:
        raise ValueError(f"expected format ascii or {' or '.join(BYTE_ORDERS)}, found {form or 'none'}")
    return form, elements, end.end()


def _property(words: list[str]) -> Property:
    unknown = [word for word in words[1:-1] if word not in TYPES and word != "list"]
    if unknown:
        raise ValueError(f"expected property types among {', '.join(TYPES)}, found {unknown[0]}")
    if words[1] == "list":
        return Property(words[4], TYPES[words[3]], TYPES[words[2]])
    return Property(words[2], TYPES[words[1]])


def _text_rows(tokens: list[str], start: int, element: Element) -> tuple[Columns, int]:
    """The rows of an element from token `start` on, and where the next element's begin."""

    def taken(first: int, count: int) -> list[str]:
        if first + count > len(tokens):
            raise ValueError(f"expected {element.rows:,} rows of {element.name}, found the end: truncated?")
        return tokens[first : first + count]

    if not element.rows:
        return {}, start
    widths, at = [], start
    for item in element.properties:  # as the first row has it
        widths.append(1 if item.count is None else 1 + int(taken(at, 1)[0]))
        at += widths[-1]
    whole = sum(widths)
    if start + whole * element.rows <= len(tokens):
        table = np.array(tokens[start : start + whole * element.rows], np.float64).reshape(element.rows, whole)
        places = list(zip(element.properties, accumulate(widths, initial=0), widths, strict=False))
        if all(item.count is None or (table[:, place] == width - 1).all() for item, place, width in places):
            columns: Columns = {
                item.name: table[:, place] if item.count is None else table[:, place + 1 : place + width]
                for item, place, width in places
            }
            return columns, start + whole * element.rows
    ragged: dict[str, list[npt.NDArray[Any]]] = {item.name: [] for item in element.properties}
    for _ in range(element.rows):
        for item in element.properties:
            count = 1 if item.count is None else int(taken(start, 1)[0])
            start += item.count is not None
            ragged[item.name].append(np.array(taken(start, count), np.float64))
            start += count
    return _columns(element, ragged), start


def _binary_rows(data: bytes, start: int, element: Element, order: str) -> tuple[Columns, int]:
    """The rows of an element from byte `start` on, and where the next element's begin."""

    def taken(kind: str, first: int, count: int) -> npt.NDArray[Any]:
        if first + count * np.dtype(kind).itemsize > len(data):
            raise ValueError(f"expected {element.rows:,} rows of {element.name}, found the end: truncated?")
        return np.frombuffer(data, order + kind, count, first)

    if not element.rows:
        return {}, start
    fields: list[tuple[str, Any] | tuple[str, str, int]] = []
    lengths, at = {}, start
    for item in element.properties:  # as the first row has it
        if item.count is not None:
            lengths[item.name] = int(taken(item.count, at, 1)[0])
            fields += [(f"count of {item.name}", order + item.count), (item.name, order + item.kind, lengths[item.name])]
            at += np.dtype(item.count).itemsize + lengths[item.name] * np.dtype(item.kind).itemsize
        else:
            fields.append((item.name, order + item.kind))
            at += np.dtype(item.kind).itemsize
    row = np.dtype(fields)
    if start + row.itemsize * element.rows <= len(data):
        table = np.frombuffer(data, row, element.rows, start)
        if all((table[f"count of {name}"] == length).all() for name, length in lengths.items()):
            return {
                item.name: table[item.name].reshape(element.rows, -1) if item.count else table[item.name]
                for item in element.properties
            }, start + row.itemsize * element.rows
    ragged: dict[str, list[npt.NDArray[Any]]] = {item.name: [] for item in element.properties}
    for _ in range(element.rows):
        for item in element.properties:
            count = 1
            if item.count is not None:
                count = int(taken(item.count, start, 1)[0])
                start += np.dtype(item.count).itemsize
            ragged[item.name].append(taken(item.kind, start, count))
            start += count * np.dtype(item.kind).itemsize
    return _columns(element, ragged), start


def _columns(element: Element, ragged: dict[str, list[npt.NDArray[Any]]]) -> Columns:
    return {
        item.name: ragged[item.name] if item.count is not None else np.concatenate(ragged[item.name])
        for item in element.properties
    }
