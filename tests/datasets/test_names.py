"""Names from strangers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_core.datasets.names import clean, danger, decode_legacy, extension, litter, parts_of, split_of


@pytest.mark.parametrize(("raw", "shown"), [
    ("hat ", "hat"), (" a  b ", "a b"), ("line\nbreak", "line break"), ("cafe\u0301", "caf\u00e9"), ("\x00", "_"),
    ("invoice\u202egpj.exe", "invoice gpj.exe"), ("猫咪 🐱", "猫咪 🐱"), ("<b>x</b>", "<b>x</b>"), ("con", "con")])
def test_clean(raw, shown):
    assert clean(raw) == shown


@given(st.text(max_size=40))
def test_clean_names_are_clean(text):
    name = clean(text)
    assert name
    assert clean(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert not any(unicodedata.category(letter) == "Cc" for letter in name)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..\\x", "/etc/passwd", "C:\\x", "c:x", "\\\\server\\share", "//s/x",
                                  "~/x", "~root/x", "file:x", "http://x/y.jpg", "a\x00b", "a/␀b"])
def test_dangerous(name):
    assert danger(name)


@pytest.mark.parametrize("name", ["./hat/./x.jpg", "set\\hat\\0.jpg", "a..b/c...jpg", "12:30/x.jpg", "~$lock.docx"])
def test_harmless(name):
    assert danger(name) is None


@given(st.lists(st.sampled_from(["..", ".", "a", "", "~", "b c"]), max_size=6), st.sampled_from("/\\"))
def test_harmless_names_never_climb(parts, separator):
    name = separator.join(parts)
    if danger(name) is None:
        assert ".." not in parts_of(name)
        assert not name.startswith(("/", "\\"))


@pytest.mark.parametrize(("name", "split"), [
    ("Train", "train"), ("VAL", "validation"), ("valid", "validation"), ("dev", "validation"), ("testing", "test"),
    ("训练集", "train"), ("验证", "validation"), ("测试", "test"), ("test_1", "test"), ("trainers", None), ("hat", None)])
def test_split_names(name, split):
    assert split_of(name) == split


def test_extension():
    assert [extension(name) for name in ("a.JPG", "a", "a.tar.gz", ".hidden", "IMG.2024 summer")] == ["jpg", "", "gz", "", ""]


def test_litter():
    assert litter(("a", "Thumbs.db"))
    assert litter(("__MACOSX", "x.jpg"))
    assert litter(("a", "._x.jpg"))
    assert not litter(("a", "x.jpg"))


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_legacy_chinese(encoding):
    names = ["帽子/图0.jpg", "鞋子/图1.jpg", "plain/a.jpg"]
    assert decode_legacy([name.encode(encoding) for name in names]) == names


def test_legacy_japanese_and_western():
    assert decode_legacy(["ねこ/いぬ.jpg".encode("cp932")]) == ["ねこ/いぬ.jpg"]
    assert decode_legacy(["café/ü.jpg".encode("cp437")]) == ["café/ü.jpg"]
