"""How nested folders, tables and file names are understood. Nothing here is decoded, so one byte is picture enough."""

import pytest

from transfer_core.datasets import Understanding, understand


@pytest.fixture
def read(zipped):
    def understood(*paths: str, answers: dict | None = None, **texts: str) -> Understanding:
        lists = {name.replace("_csv", ".csv").replace("_txt", ".txt"): text.encode() for name, text in texts.items()}
        files = dict.fromkeys(paths, b"x") | lists
        found = understand(zipped(files), answers)
        assert Understanding.from_dict(found.to_dict()) == found
        return found

    return understood


def grid(*levels: list[str], count: int = 2) -> list[str]:
    paths = [""]
    for level in levels:
        paths = [f"{path}{name}/" for path in paths for name in level]
    return [f"{path}{i}.jpg" for path in paths for i in range(count)]


def test_class_folders(read):
    found = read(*grid(["hat", "shoes"]))
    assert (found.layout, found.levels, found.classes) == ("folders", ["class"], {"hat": 2, "shoes": 2})
    assert [(node.name, node.kind, node.images) for node in found.tree] == [("hat", "class", 2), ("shoes", "class", 2)]
    assert found.problem is None


@pytest.mark.parametrize("parts", [["train", "val", "test"], ["Training", "VALID", "Testing"], ["训练集", "验证集", "测试集"],
                                   ["train", "dev"]])
def test_splits_on_top_below_wrappers(read, parts):
    found = read(*grid(["my set"], ["v2"], parts, ["hat", "shoes"]))
    assert found.wrapper == "my set/v2"
    assert found.levels == ["split", "class"]
    assert list(found.classes) == ["hat", "shoes"]
    assert found.splits == dict.fromkeys(["train", "validation", "test"][:len(parts)], 4)


def test_splits_below_the_class(read):
    found = read(*grid(["hat", "shoes"], ["train", "test"]))
    assert found.levels == ["class", "split"]
    assert found.classes == {"hat": 4, "shoes": 4}
    assert found.splits == {"train": 4, "test": 4}


def test_a_class_may_be_called_train(read):
    found = read(*grid(["train", "car", "bus"]))
    assert found.classes == {"bus": 2, "car": 2, "train": 2}
    assert found.splits == {}


def test_a_test_folder_without_classes_is_unlabelled(read):
    found = read(*grid(["train"], ["hat", "shoes"]), "test/1.jpg", "test/2.jpg")
    assert found.classes == {"hat": 2, "shoes": 2}
    assert [(some.reason, some.count) for some in found.ignored] == [("outside_classes", 2)]


def test_domains_are_asked_about(read):
    paths = grid(["photo", "sketch"], ["dog", "horse", "cat"])
    found = read(*paths)
    assert found.levels == ["domain", "class"]
    assert list(found.classes) == ["cat", "dog", "horse"]
    assert found.domains == ["photo", "sketch"]
    assert [(question.key, question.default) for question in found.questions] == [("first_level", "domain")]
    for language in ("en", "zh"):
        assert "dog" in found.questions[0].text.say(language)
    other = read(*paths, answers={"first_level": "class"})
    assert list(other.classes) == ["photo", "sketch"]
    assert other.domains == ["cat", "dog", "horse"]
    assert other.levels == ["class", "domain"]


def test_domains_inside_splits(read):
    found = read(*grid(["train", "test"], ["photo", "sketch"], ["dog", "cat"]))
    assert found.levels == ["split", "domain", "class"]
    assert found.classes == {"cat": 8, "dog": 8}


def test_sub_folders_are_folded_in(read):
    found = read(*grid(["hat", "shoes"]), "hat/old/deep/9.jpg")
    assert found.classes == {"hat": 3, "shoes": 2}
    assert [note.key for note in found.notes] == ["import.notes.nested"]


def test_one_class_none_and_no_pictures(read):
    assert read(*grid(["hat"])).problem.key == "errors.two_classes_needed.text"
    assert read("a.jpg", "b.jpg").problem.key == "errors.one_folder_per_class.text"
    assert read("a.pdf").problem.key == "errors.no_pictures.text"
    assert read("a.pdf").hint.say("zh")


def test_file_names_are_offered_as_labels(read):
    paths = ["hat_0.jpg", "hat_1.jpg", "shoes (1).jpg", "shoes (2).jpg"]
    found = read(*paths)
    assert found.problem.key == "errors.one_folder_per_class.text"
    assert [(question.key, question.options) for question in found.questions] == [("labels", ["folders", "names"])]
    taken = read(*paths, answers={"labels": "names"})
    assert taken.classes == {"hat": 2, "shoes": 2}
    assert taken.problem is None
    assert read("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg").questions == []


def test_a_table_beside_flat_pictures(read):
    table = "file,label,split\na.jpg,hat,train\nb.jpg,shoes,test\nz.jpg,hat,train\n"
    found = read("p/a.jpg", "p/b.jpg", "p/c.jpg", labels_csv=table)
    assert found.layout == "table"
    assert found.classes == {"hat": 1, "shoes": 1}
    assert found.splits == {"train": 1, "test": 1}
    assert found.table["missing"] == ["z.jpg"]
    assert [(some.reason, some.files) for some in found.ignored] == [("unlabelled", ["p/c.jpg"])]


def test_folders_win_over_a_table_unless_asked(read):
    paths = grid(["x", "y"])
    table = "path;class\n" + "\n".join(f"{path};{'hat' if '0' in path else 'shoes'}" for path in paths)
    assert list(read(*paths, meta_csv=table).classes) == ["x", "y"]
    assert [question.key for question in read(*paths, meta_csv=table).questions] == ["labels"]
    assert list(read(*paths, meta_csv=table, answers={"labels": "table"}).classes) == ["hat", "shoes"]


def test_train_and_test_are_no_classes(read):
    """As Kaggle hands out photos: one folder of labelled ones, one of others, and a table that leaves out the ending."""
    paths = [*(f"train/{i}.jpg" for i in range(4)), *(f"test/{i + 4}.jpg" for i in range(4))]
    assert read(*paths).problem.key == "errors.one_folder_per_class.text"
    found = read(*paths, labels_csv="id,breed\n0,pug\n1,pug\n2,corgi\n3,corgi\n")
    assert (found.layout, found.classes, found.splits) == ("table", {"corgi": 2, "pug": 2}, {"train": 4})
    assert not found.notes


def test_a_table_in_each_part(read):
    paths = [f"{part}/{i}.jpg" for part in ("train", "valid", "test") for i in range(4)]
    table = "filename,cat,dog\n" + "".join(f"{i}.jpg,{i % 2},{1 - i % 2}\n" for i in range(4))
    found = read(*paths, **{f"{part}/labels_csv": table for part in ("train", "valid", "test")})
    assert found.classes == {"cat": 6, "dog": 6}
    assert found.splits == {"train": 4, "validation": 4, "test": 4}
    assert found.table["file"] == "train/labels.csv, valid/labels.csv, test/labels.csv"


def test_words_in_the_file_names_before_numbers_in_a_list(read):
    paths = [f"images/{name}_{i}.jpg" for name in ("pug", "corgi") for i in range(3)]
    table = "".join(f"{path[7:-4]} {1 + (path[7] == 'c')} 1\n" for path in paths)
    found = read(*paths, list_txt=table)
    assert (found.layout, found.classes) == ("names", {"corgi": 3, "pug": 3})
    assert [(question.key, question.default) for question in found.questions] == [("labels", "names")]
    assert read(*paths, list_txt=table, answers={"labels": "table"}).classes == {"1": 3, "2": 3}
