"""Text files in any encoding are read, or rejected with the line of the error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.errors import UserError
from voicekiln.text.decoding import read_text


def write(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_unicode_is_read_without_a_warning(tmp_path, encoding):
    text = "a.wav|Wie heißt du?\nb.wav|Ich heiße Käthe.\n"
    assert read_text(write(tmp_path, text.encode(encoding))) == (text, None)


@pytest.mark.parametrize("text", ["ሰላም ለዓለም።\n", "Привет, мир.\n", "你好。\n"])
def test_utf16_with_a_mark_holds_any_script(tmp_path, text):
    assert read_text(write(tmp_path, text.encode("utf-16"))) == (text, None)


def test_windows_1252_is_read_with_a_warning_and_an_example(tmp_path):
    text = "a.wav|plain\nb.wav|Señor Müller fährt – naïvement – à l’école.\n"
    got, note = read_text(write(tmp_path, text.encode("cp1252")))
    assert got == text
    assert "Windows-1252" in note and "line 2" in note and "Señor" in note


def test_an_invalid_utf8_byte_is_reported_with_its_line(tmp_path):
    content = "a.wav|ein schöner Tag\nb.wav|größer\nc.wav|".encode() + b"\xc3(\n"
    with pytest.raises(UserError, match="line 3: the byte 0xc3 is not valid UTF-8"):
        read_text(write(tmp_path, content))


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("первая строка\nвторая строка\n", "cp1251"),
        ("καλημέρα κόσμε\n", "cp1253"),
        ("صباح الخير يا عالم\n", "cp1256"),
        ("zażółć gęślą jaźń, łódź\n", "cp1250"),
        ("今日は晴れです\n", "shift_jis"),
    ],
)
def test_other_code_pages_are_rejected(tmp_path, text, encoding):
    with pytest.raises(UserError, match="line 1: .*Save the file as UTF-8"):
        read_text(write(tmp_path, text.encode(encoding)))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_endings_are_unified(tmp_path, end):
    assert read_text(write(tmp_path, f"a{end}{end}b{end}".encode())) == ("a\n\nb\n", None)


@pytest.mark.parametrize("content", [b"RIFF\x04\x00\x00\x00WAVEfmt \x10", b"a\nb\x00\n"])
def test_binary_content_is_rejected(tmp_path, content):
    with pytest.raises(UserError, match="not a text file"):
        read_text(write(tmp_path, content))


def test_a_folder_a_missing_and_a_huge_file_are_user_errors(tmp_path):
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(UserError, match="cannot read the file"):
            read_text(path)
    with pytest.raises(UserError, match="at most 4 bytes"):
        read_text(write(tmp_path, b"12345"), max_bytes=4)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_text_or_a_user_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("bytes"), content)
    try:
        text, _ = read_text(path)
    except UserError:
        return
    assert "\r" not in text and "\x00" not in text
