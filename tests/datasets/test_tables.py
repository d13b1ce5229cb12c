"""Tables of labels, as people's programs write them."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_core.datasets.tables import Row, match, read_table

PLAIN = "filename,label\na.jpg,hat\nb.jpg,shoes\n"


@pytest.mark.parametrize("data", [
    PLAIN.encode(), PLAIN.encode("utf-8-sig"), PLAIN.encode("utf-16"), PLAIN.replace(",", ";").encode(),
    PLAIN.replace(",", "\t").encode(), PLAIN.replace("\n", "\r\n").encode(),
    PLAIN.replace("filename,label", "Image Path, Class ").encode(),
    PLAIN.replace("filename,label", "文件名,标签").encode("gbk"), PLAIN.replace("filename,label", "文件名,类别").encode(),
    b'"filename","label"\n"a.jpg","hat"\n"b.jpg","shoes"\n', b"filename,label\n\na.jpg , hat\nb.jpg,shoes\n,\n"])
def test_dialects(data):
    assert read_table(data).rows == (Row("a.jpg", "hat"), Row("b.jpg", "shoes"))


def test_a_split_column_and_columns_in_another_order():
    table = read_table("category;note;split;image\nhat;x;train;a.jpg\nshoes;y;测试;b.jpg\n".encode())
    assert table.rows == (Row("a.jpg", "hat", "train"), Row("b.jpg", "shoes", "test"))
    assert (table.file_column, table.label_column) == ("image", "category")


def test_without_a_known_header_the_pictures_decide():
    assert read_table(b"a.jpg,hat\nb.jpg,shoes\n", ["x/a.jpg", "x/b.jpg"]).rows == (Row("a.jpg", "hat"), Row("b.jpg", "shoes"))
    assert read_table(b"hello,world\n1,2\n", ["a.jpg"]) is None
    assert read_table(b"just a readme\nwith lines\n", ["a.jpg"]) is None
    assert read_table(b"", ["a.jpg"]) is None


def test_matching():
    pictures = ["images/A.jpg", "images/sub/b.jpg", "other/b.jpg", "images/c.png"]
    table = read_table(b"file,label\n./images\\a.jpg,hat\nsub/b.jpg,shoes\nc,hat\nb.jpg,?\nlost.jpg,hat\n")
    found = match(table, pictures, "images")
    assert {i: row.label for i, row in found.rows.items()} == {0: "hat", 1: "shoes", 3: "hat"}
    assert found.missing == ("b.jpg", "lost.jpg")  # two pictures are called b.jpg: neither is guessed
    assert found.unlabelled == (2,)


@given(st.binary(max_size=300))
def test_never_crashes(data):
    read_table(data, ["a.jpg"])


row = st.tuples(st.from_regex(r"[a-z]{1,8}\.jpg", fullmatch=True), st.sampled_from(["hat", "shoes", "a, b"]))


@given(st.lists(row, min_size=1, unique_by=lambda pair: pair[0]))
def test_every_row_is_matched_or_missing(pairs):

    buffer = io.StringIO()
    csv.writer(buffer).writerows([("filename", "label"), *pairs])
    table = read_table(buffer.getvalue().encode())
    pictures = [name for name, _ in pairs[::2]]
    found = match(table, pictures)
    assert {pictures[i]: row.label for i, row in found.rows.items()} == dict(pairs[::2])
    assert set(found.missing) == {name for name, _ in pairs[1::2]}


PICTURES = [f"images/ISIC_{i}.jpg" for i in range(6)]
DIAGNOSES = ["benign", "benign", "malignant", "malignant", "benign", "malignant"]


def rows_of(table):
    return [(row.file.removesuffix(".jpg"), row.label) for row in table.rows]


KNOWN = [(f"ISIC_{i}", label) for i, label in enumerate(DIAGNOSES)]
LISTS = {
    "a name without its ending, among other columns": "id,image_id,age,sex,dx\n" + "".join(
        f"{i},ISIC_{i},{30 + i},{'mf'[i % 2]},{label}\n" for i, label in enumerate(DIAGNOSES)),
    "a number and a name of the class": "file,label,class_name\n" + "".join(
        f"ISIC_{i}.jpg,{label == 'benign':d},{label}\n" for i, label in enumerate(DIAGNOSES)),
    "a column of 0 and 1 for each class": "filename, benign, malignant\n" + "".join(
        f"ISIC_{i}.jpg,{label == 'benign':d},{label != 'benign':d}\n" for i, label in enumerate(DIAGNOSES)),
    "spaces and no header": "# list\n" + "".join(f"ISIC_{i}.jpg {label}\n" for i, label in enumerate(DIAGNOSES)),
    "lines of JSON": "".join(f'{{"file_name": "ISIC_{i}.jpg", "label": "{label}"}}\n' for i, label in enumerate(DIAGNOSES)),
    "a list of objects": json.dumps([{"image": f"ISIC_{i}.jpg", "label": [label]} for i, label in enumerate(DIAGNOSES)]),
    "pairs": json.dumps({"labels": [[f"ISIC_{i}.jpg", label] for i, label in enumerate(DIAGNOSES)]}),
    "file and class": json.dumps({f"ISIC_{i}.jpg": label for i, label in enumerate(DIAGNOSES)}),
    "class and files": json.dumps({label: [f"ISIC_{i}.jpg" for i, each in enumerate(DIAGNOSES) if each == label]
                                   for label in ("benign", "malignant")}),
    "boxes": json.dumps({
        "images": [{"id": i, "file_name": f"ISIC_{i}.jpg"} for i in range(6)], "categories": [
            {"id": 0, "name": "benign"}, {"id": 1, "name": "malignant"}],
        "annotations": [{"image_id": i, "category_id": int(label != "benign"), "bbox": [0, 0, 1, 1]}
                        for i, label in enumerate(DIAGNOSES) for _ in range(2)]}),
}


@pytest.mark.parametrize("written", LISTS)
def test_lists_as_collections_have_them(written):
    assert sorted(rows_of(read_table(LISTS[written].encode(), PICTURES))) == KNOWN


def test_a_person_may_choose_the_column():
    data = LISTS["a name without its ending, among other columns"].encode()
    assert read_table(data, PICTURES).choices == ("dx", "sex")
    assert {row.label for row in read_table(data, PICTURES, "sex").rows} == {"m", "f"}
    assert read_table(data, PICTURES, "age").label_column == "dx", "what was no choice is not heeded"


@pytest.mark.parametrize("data", [
    "[" * 100_000, '{"a": ' * 50_000, "[[]]", "[{}]", '[{"file": {"a": 1}, "label": null}]', "{}", "[1, 2]",
    '{"images": [], "x": 1}',
    '{"images": [1], "annotations": [null], "categories": ["x"]}', '{"images": [], "annotations": [], "categories": []}',
    "0 0.5 0.25 0.1 0.1\n1 0.3 0.2 0.4 0.3\n2 0.3 0.1 0.1 0.9\n"])
def test_what_is_no_list_of_labels_is_none(data):
    table = read_table(data.encode(), pictures := ["0.jpg", "1.jpg", "2.jpg"])
    assert table is None or not match(table, pictures).rows
