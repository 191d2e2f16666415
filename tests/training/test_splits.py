"""Split lists as IM-NET, OccNet and DISN write them, and lists that went through other hands."""

import pytest

from training.data.readers.labels import ModelId
from training.data.readers.splits import SplitLists
from training.errors import UnreadableModel

CHAIR, TABLE = "03001627", "04379243"


def written(folder, files: dict[str, str | bytes]):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def as_text(lists: SplitLists) -> dict[str, str]:
    return {str(model): split for model, split in lists.split_of.items()}


EXPECTED = {f"{CHAIR}/a": "train", f"{CHAIR}/b": "train", f"{CHAIR}/c": "test", f"{TABLE}/a": "train", f"{TABLE}/d": "test"}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {
                f"{CHAIR}_vox256_img_train.txt": f"{CHAIR}/a\n{CHAIR}/b\n",
                f"{CHAIR}_vox256_img_test.txt": f"{CHAIR}/c\n",
                f"{TABLE}_vox256_img_train.txt": f"{TABLE}/a\n",
                f"{TABLE}_vox256_img_test.txt": f"{TABLE}/d\n",
            },
            id="IM-NET by category",
        ),
        pytest.param(
            {
                "all_vox256_img_train.txt": f"{CHAIR}/a\n{CHAIR}/b\n{TABLE}/a\n",
                "all_vox256_img_test.txt": f"{CHAIR}/c\n{TABLE}/d\n",
            },
            id="IM-NET in one",
        ),
        pytest.param(
            {f"{CHAIR}/train.lst": "a\nb", f"{CHAIR}/test.lst": "c", f"{TABLE}/train.lst": "a", f"{TABLE}/test.lst": "d"},
            id="OccNet",
        ),
        pytest.param(
            {
                f"{CHAIR}_train.lst": "a\nb\n",
                f"{CHAIR}_test.lst": "c\n",
                f"{TABLE}_train.lst": "a\n",
                f"{TABLE}_test.lst": "d\n",
            },
            id="DISN",
        ),
        pytest.param(
            {
                f"{CHAIR}_train.lst": b"\xef\xbb\xbfa\r\nb\r\n\r\n",
                f"{CHAIR}/test.lst": f" {CHAIR}/c \n\n",
                f"{TABLE}_train.lst": "a\n\n",
                f"{TABLE}_test.lst": "d\r\n",
                "readme.txt": "not a list",
                f"{CHAIR}/metadata.yaml": "x",
                "renderings.txt": "00.png",
            },
            id="line endings, blank lines, a byte order mark, files beside",
        ),
    ],
)
def test_every_layout_gives_the_same_splits(tmp_path, files):
    lists = SplitLists.read(written(tmp_path, files))
    assert as_text(lists) == EXPECTED
    assert lists.remarks == ()
    assert all(isinstance(model, ModelId) for model in lists.split_of)


def test_files_may_be_named_one_by_one(tmp_path):
    written(tmp_path, {f"{CHAIR}_train.lst": "a", f"{CHAIR}_val.lst": "b", f"{CHAIR}_test.lst": "c"})
    lists = SplitLists.read([tmp_path / f"{CHAIR}_train.lst", tmp_path / f"{CHAIR}_val.lst"])
    assert as_text(lists) == {f"{CHAIR}/a": "train", f"{CHAIR}/b": "val"}


def test_a_model_named_twice_is_kept_once_and_remarked_on(tmp_path):
    lists = SplitLists.read(written(tmp_path, {f"{CHAIR}_train.lst": f"a\nb\na\n{CHAIR}/a\n"}))
    assert as_text(lists) == {f"{CHAIR}/a": "train", f"{CHAIR}/b": "train"}
    assert lists.remarks == (f"{tmp_path / f'{CHAIR}_train.lst'}: 2 lines name a model again",)


def test_models_in_two_splits_are_an_error_that_names_them(tmp_path):
    written(tmp_path, {f"{CHAIR}_train.lst": "a\nb\nc", f"{CHAIR}_test.lst": "c\na\nd"})
    with pytest.raises(
        UnreadableModel, match=rf"each model in one split, found {CHAIR}/a \(test and train\), {CHAIR}/c \(test and train\)$"
    ):
        SplitLists.read(tmp_path)


def test_a_long_overlap_is_counted(tmp_path):
    names = "\n".join(f"m{number:02d}" for number in range(20))
    with pytest.raises(UnreadableModel, match=rf"{CHAIR}/m07 \(test and train\) and 12 more$"):
        SplitLists.read(written(tmp_path, {f"{CHAIR}_train.lst": names, f"{CHAIR}_test.lst": names}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"train.lst": "a\n"}, r"train\.lst, line 1: expected <synset>/<id>, found 'a'", id="no synset"),
        pytest.param({f"{CHAIR}_train.lst": "a\nb c\n"}, r"line 2: expected <id> or 03001627/<id>, found 'b c'", id="two words"),
        pytest.param({"all_train.txt": f"{CHAIR}/\n"}, r"line 1: expected <synset>/<id>, found '03001627/'", id="no id"),
        pytest.param({"all_train.txt": "chairs/a\n"}, r"line 1: expected <synset>/<id>, found 'chairs/a'", id="no number"),
        pytest.param({f"{CHAIR}_train.lst": b"\x80\x81\n"}, r"_train\.lst: expected a text file", id="bytes"),
        pytest.param({"notes.txt": "a"}, r"expected lists whose names end with train, val or test", id="no lists"),
        pytest.param({"constrain.txt": "a"}, r"expected lists whose names end with train, val or test", id="part of a word"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_name(tmp_path, files, message):
    with pytest.raises(UnreadableModel, match=message):
        SplitLists.read(written(tmp_path, files))


def test_a_named_file_that_is_no_list_or_missing_is_an_error(tmp_path):
    with pytest.raises(UnreadableModel, match=r"models\.txt: expected a name that ends with train, val or test"):
        SplitLists.read([tmp_path / "models.txt"])
    with pytest.raises(UnreadableModel, match=r"03001627_train\.lst: expected a text file"):
        SplitLists.read([tmp_path / f"{CHAIR}_train.lst"])


def test_without_lists_the_first_four_fifths_of_each_category_train():
    models = [ModelId(CHAIR, f"{number:02d}") for number in range(11)] + [ModelId(TABLE, name) for name in "edcba"]
    lists = SplitLists.first_share([*reversed(models), models[0]])
    assert [model.model for model in lists.split_of if lists.split_of[model] == "test"] == ["08", "09", "10", "e"]
    assert len(lists.split_of) == 16


def test_validation_is_taken_from_training_alone_and_model_by_model():
    models = [ModelId(CHAIR, f"{number:04d}") for number in range(1000)]
    lists = SplitLists.first_share(models)
    with_val = lists.with_validation(0.1)
    validated = {model for model, split in with_val.split_of.items() if split == "val"}
    assert 50 < len(validated) < 110
    assert all(lists.split_of[model] == "train" for model in validated)
    assert {model: split for model, split in with_val.split_of.items() if model not in validated} == {
        model: split for model, split in lists.split_of.items() if model not in validated
    }
    fewer = SplitLists(dict.fromkeys(models[:500], "train")).with_validation(0.1)
    assert {model for model, split in fewer.split_of.items() if split == "val"} == {m for m in validated if m in fewer.split_of}
