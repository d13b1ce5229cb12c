"""The split: whole groups, every class, the same for the same seed."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from transfer_core.datasets.split import Item, one_side, split

labels = st.sampled_from("abcd")
items = st.lists(st.builds(Item, labels, st.integers(0, 60)), min_size=1, max_size=120)
parts = st.sampled_from(["train", "validation", "test"])
divided = st.lists(st.builds(Item, labels, st.integers(0, 60), parts), min_size=1, max_size=80)


def counts(result, items) -> dict[str, Counter]:
    by_class = defaultdict(Counter)
    for item, where in zip(items, result.splits, strict=True):
        by_class[item.label][where] += 1
    return by_class


def singles(**classes: int) -> list[Item]:
    """Images that are all different: `singles(hat=10)`."""
    found = []
    for label, count in classes.items():
        found += [Item(label, len(found) + i) for i in range(count)]
    return found


def test_known_sizes():
    """15 % each, half rounded up: 100 → 70/15/15, 10 → 6/2/2, 7 → 5/1/1, 3 → 1/1/1; two pictures are not enough."""
    items = singles(a=100, b=10, c=7, d=3, e=2)
    result = split(items)
    found = counts(result, items)
    assert {label: tuple(found[label][name] for name in ("train", "validation", "test")) for label in "abcde"} == {
        "a": (70, 15, 15), "b": (6, 2, 2), "c": (5, 1, 1), "d": (1, 1, 1), "e": (2, 0, 0)}
    assert result.small == ("e",)


def test_a_giant_group_stays_in_train():
    items = [Item("a", 0)] * 98 + [Item("a", 1), Item("a", 2)]
    result = split(items)
    assert result.splits[:98] == ["train"] * 98
    assert sorted(result.splits[98:]) == ["test", "validation"]


def test_the_seed_decides():
    items = singles(a=40, b=40)
    assert split(items, 1) == split(items, 1)
    assert split(items, 1).splits != split(items, 2).splits


@given(items)
def test_no_group_straddles_and_every_class_is_everywhere(items):
    result = split(items)
    assert len(result.splits) == len(items)
    where = defaultdict(set)
    for item, name in zip(items, result.splits, strict=True):
        where[item.group].add(name)
        assert name in ("train", "validation", "test")
    assert all(len(names) == 1 for names in where.values())
    labels_of = defaultdict(set)
    for item in items:
        labels_of[item.group].add(item.label)
    for label, found in counts(result, items).items():
        pure = [group for group, names in labels_of.items() if names == {label}]
        if len(pure) >= 3:
            assert all(found[name] > 0 for name in ("train", "validation", "test")), (label, found)
            assert label not in result.small
        else:
            assert found["validation"] == found["test"] == 0
            assert label in result.small


@given(st.integers(3, 400), st.integers(3, 400))
def test_shares_are_kept_to_the_image_when_all_are_different(first, second):
    items = singles(a=first, b=second)
    found = counts(split(items), items)
    for label, count in (("a", first), ("b", second)):
        for name in ("validation", "test"):
            assert abs(found[label][name] - max(1, 0.15 * count)) <= 0.5 + 1e-9


@given(divided)
def test_a_given_split_is_kept_and_nothing_tested_was_trained_on(items):
    names = {item.given for item in items}
    result = split(items)
    if "train" not in names or len(names) == 1:
        return
    stays = defaultdict(set)
    for item, where in zip(items, result.splits, strict=True):
        if where != "left_out":
            stays[item.group].add(where)
        if item.given == "test":
            assert where == "test"
        if item.given == "validation":
            assert where in ("validation", "left_out")
    assert all(len(names) == 1 for names in stays.values())
    assert result.straddling == result.splits.count("left_out")


def test_a_missing_test_is_carved_from_train():
    items = [Item("a", i, "train") for i in range(20)] + [Item("a", 20 + i, "validation") for i in range(5)]
    result = split(items)
    assert result.splits[20:] == ["validation"] * 5
    assert Counter(result.splits[:20]) == {"train": 17, "test": 3}
    assert result.carved == ("test",)


def test_a_missing_validation_is_carved_from_train():
    items = [Item("a", i, "train") for i in range(20)] + [Item("a", 20 + i, "test") for i in range(5)]
    result = split(items)
    assert result.splits[20:] == ["test"] * 5
    assert Counter(result.splits[:20]) == {"train": 17, "validation": 3}


def test_the_training_side_of_a_straddling_group_is_left_out():
    items = [Item("a", 7, "train"), Item("a", 7, "test"), Item("a", 8, "train"), Item("a", 9, "validation")]
    result = split(items)
    assert result.splits == ["left_out", "test", "train", "validation"]
    assert result.straddling == 1


@given(items, st.lists(parts, min_size=120, max_size=120), st.booleans())
def test_groups_that_grew_go_to_one_side_and_the_others_stay(items, before, given_split):
    before = before[:len(items)]
    after = one_side(items, before, given_split)
    was, now, labels_of = defaultdict(set), defaultdict(set), defaultdict(set)
    for item, one, other in zip(items, before, after, strict=True):
        was[item.group].add(one)
        now[item.group].add(other)
        labels_of[item.group].add(item.label)
    if given_split:
        for group, sides in was.items():
            strongest = next(name for name in ("test", "validation", "train") if name in sides)
            assert now[group] - {"left_out"} == {strongest} and (len(sides) > 1) == ("left_out" in now[group])
        return
    assert all(len(sides) == 1 for sides in now.values())
    torn = {label for group, sides in was.items() if len(sides) > 1 for label in labels_of[group]}
    for item, one, other in zip(items, before, after, strict=True):
        if item.label not in torn:
            assert one == other
    for label in torn:
        pure = [group for group, names in labels_of.items() if names == {label}]
        count = Counter(next(iter(now[group])) for group in pure)
        held = {next(iter(now[group])) for group, names in labels_of.items() if label in names}  # shared groups hold it as well
        if len(pure) > 2 and not {"test", "validation"} <= held:  # only where nothing could be spared
            assert count["train"] <= 1


def test_bursts_that_were_drawn_frame_by_frame_are_divided_by_burst():
    """20 bursts of 5, every one torn: 15 of 100 are 3 bursts for each of validation and test."""
    items = [Item("a", burst) for burst in range(20) for _ in range(5)]
    after = Counter(one_side(items, ["train", "train", "train", "validation", "test"] * 20))
    assert after == {"train": 70, "validation": 15, "test": 15}
