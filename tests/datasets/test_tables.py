"""Tables of labels, as people's programs write them."""

import csv
import io

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
