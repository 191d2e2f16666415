"""Splits by family."""

from collections import defaultdict

from training.data.splitting import split_families


def splits_by_family(families: list[str], splits: list[str]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for family, split in zip(families, splits, strict=True):
        found[family].add(split)
    return found


def test_a_family_stands_in_one_split():
    families = [f"family-{number % 17}" for number in range(300)]
    assert all(len(splits) == 1 for splits in splits_by_family(families, split_families(families)).values())


def test_each_held_out_split_has_a_tenth_of_the_shapes_and_little_more():
    families = [f"family-{number % 50}" for number in range(1000)]
    splits = split_families(families)
    assert 100 <= splits.count("val") <= 120
    assert 100 <= splits.count("test") <= 120


def test_three_families_give_one_to_each_split():
    assert sorted(split_families(["bolt", "gear", "pump"])) == ["test", "train", "val"]


def test_one_family_alone_is_split_by_shape():
    splits = split_families(["bolt"] * 20)
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (16, 2, 2)


def test_a_single_shape_is_for_training():
    assert split_families(["bolt"]) == ["train"]


def test_seeds_draw_other_splits_and_the_same_seed_the_same():
    families = [f"family-{number}" for number in range(40)]
    assert split_families(families, 1) == split_families(families, 1)
    assert split_families(families, 1) != split_families(families, 2)


def test_the_order_of_the_shapes_does_not_matter():
    families = [f"family-{number % 13}" for number in range(100)]
    forwards = dict(zip(families, split_families(families), strict=True))
    backwards = dict(zip(families[::-1], split_families(families[::-1]), strict=True))
    assert forwards == backwards


def test_nothing_is_split_into_nothing():
    assert split_families([]) == []
