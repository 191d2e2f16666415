"""Which models train and which examine: the split lists that published results refer to."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.data.readers.labels import ModelId
from training.errors import UnreadableModel

SUFFIXES = (".txt", ".lst")
# train.lst, 03001627_test.lst, 03001627_vox256_img_train.txt, all_vox256_img_test.txt
NAME = re.compile(r"(?:(?P<synset>\d{8})[_-])?(?:.*[_-])?(?P<split>train|val|test)")
SYNSET = re.compile(r"\d{8}")
TRAINING_SHARE = 0.8
NAMED = 8  # how many models a message names


@dataclass(frozen=True)
class SplitLists:
    """Each listed model's split. remarks: what the lists held that they should not, in words."""

    split_of: dict[ModelId, str]
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, where: Path | Sequence[Path]) -> SplitLists:
        """The lists in a folder, or the given files; a file's name ends with train, val or test.

        Lines are `<synset>/<id>`, as IM-NET's `*_vox256_img_{train,test}.txt` have them, or `<id>`. Then the synset is that of
        the file's folder, as in OccNet's `<synset>/{train,val,test}.lst`, or begins the file's name, as in DISN's
        `<synset>_{train,test}.lst`.
        UnreadableModel when there is no list, when a line is none of these, or when a model is in two splits.
        """
        paths = _lists_below(where) if isinstance(where, Path) else list(where)
        splits: dict[ModelId, set[str]] = defaultdict(set)
        remarks = []
        for path in paths:
            split, models = _read_list(path)
            repeated = len(models) - len(set(models))
            if repeated:
                remarks.append(f"{path}: {repeated} lines name a model again")
            for model in models:
                splits[model].add(split)
        shared = sorted(model for model, found in splits.items() if len(found) > 1)
        if shared:
            names = ", ".join(f"{model} ({' and '.join(sorted(splits[model]))})" for model in shared[:NAMED])
            more = f" and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
            raise UnreadableModel(f"split lists: expected each model in one split, found {names}{more}")
        return cls({model: found.pop() for model, found in sorted(splits.items())}, tuple(remarks))

    @classmethod
    def first_share(cls, models: Iterable[ModelId], share: float = TRAINING_SHARE) -> SplitLists:
        """Without lists: the first of each category's sorted models train, the others test, as IM-NET made its lists."""
        categories: dict[str, list[ModelId]] = defaultdict(list)
        for model in sorted(set(models)):
            categories[model.synset].append(model)
        split_of = {}
        for members in categories.values():
            for number, model in enumerate(members):
                split_of[model] = "train" if number < int(share * len(members)) else "test"
        return cls(split_of)

    def with_validation(self, share: float) -> SplitLists:
        """The same with about this share of the training models in `val`, for lists that know train and test alone.

        A model's own name decides, so that one more model moves no other.
        """
        return replace(
            self,
            split_of={
                model: "val" if split == "train" and _drawn(model) < share else split for model, split in self.split_of.items()
            },
        )


def _lists_below(folder: Path) -> list[Path]:
    # Lists lie at the top or one folder down; further down there may be a million files.
    found = (*folder.glob("*"), *folder.glob("*/*"))
    paths = sorted(path for path in found if path.suffix in SUFFIXES and NAME.fullmatch(path.stem) and path.is_file())
    if not paths:
        raise UnreadableModel(f"{folder}: expected lists whose names end with train, val or test (.txt or .lst), found none")
    return paths


def _read_list(path: Path) -> tuple[str, list[ModelId]]:
    """A list's split and its models, in the order of its lines."""
    name = NAME.fullmatch(path.stem)
    if name is None:
        raise UnreadableModel(f"{path}: expected a name that ends with train, val or test")
    synset = name["synset"] or (path.parent.name if SYNSET.fullmatch(path.parent.name) else None)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableModel(f"{path}: expected a text file, found: {error}") from error
    return name["split"], [
        _model(line.strip(), synset, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()
    ]


def _model(line: str, synset: str | None, where: str) -> ModelId:
    first, slash, rest = line.rpartition("/")
    if not slash and synset is not None:
        first = synset
    if not SYNSET.fullmatch(first) or not rest or any(letter.isspace() for letter in rest):
        expected = "<synset>/<id>" if synset is None else f"<id> or {synset}/<id>"
        raise UnreadableModel(f"{where}: expected {expected}, found {line!r}")
    return ModelId(first, rest)


def _drawn(model: ModelId) -> float:
    """A number in [0, 1) that the model's name alone decides."""
    return int.from_bytes(hashlib.sha256(str(model).encode()).digest()[:4], "big") / 2**32
