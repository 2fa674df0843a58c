"""Tables as spreadsheets of any country save them, and by name what is no table."""

import pytest
from CHMFLPredictorLib.tables import TableError, as_number, read_table

KNOWN = ("patient_id", "pet", "label")
ROWS = [["Patient ID", "PET", "Label", "Größe"], ["ä;1", "p,1.nii", "1", "1"], ["", "", "", ""], ["", "", "", ""]]


def written(path, separator, rows=ROWS, end="\r\n"):
    def cell(text):
        return f'"{text}"' if separator in text else text

    path.write_bytes("".join(separator.join(map(cell, row)) + end for row in rows).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_separator_and_end_of_line(tmp_path, separator, end):
    table = read_table(written(tmp_path / "t.csv", separator, end=end), KNOWN)
    assert table.columns == ["patient_id", "pet", "label", "Größe"]
    assert table.rows == [(2, {"patient_id": "ä;1", "pet": "p,1.nii", "label": "1", "Größe": "1"})]


@pytest.mark.parametrize("separator", [";", "|", "\t", ","])
@pytest.mark.parametrize("said", ["sep={}", '"sep={}"', "SEP={}"])
def test_a_first_line_may_name_the_separator(tmp_path, separator, said):
    path = written(tmp_path / "t.csv", separator)
    path.write_bytes(f"{said.format(separator)}\r\n".encode() + path.read_bytes())
    assert read_table(path, KNOWN).rows[0] == (
        3,
        {"patient_id": "ä;1", "pet": "p,1.nii", "label": "1", "Größe": "1"},
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, encoding):
    """UTF-16 with tabs is what Excel calls Unicode text."""
    path = written(tmp_path / "t.csv", "\t")
    path.write_bytes(path.read_bytes().decode().encode(encoding))
    assert read_table(path, KNOWN).rows[0][1]["patient_id"] == "ä;1"


def test_the_separator_is_the_one_that_shows_the_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\n;;\n"a,b,c,d,e";Patient-ID;PatientID2;label;;\n1;2;3;0;;\n')
    table = read_table(path, KNOWN)
    assert table.columns == ["a,b,c,d,e", "patient_id", "PatientID2", "label"]
    assert table.rows == [(4, {"a,b,c,d,e": "1", "patient_id": "2", "PatientID2": "3", "label": "0"})]


def test_short_and_long_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,pet,label\nA\nB,p,1.nii,0\n")
    (_, short), (_, long) = read_table(path, KNOWN).rows
    assert short == {"patient_id": "A", "pet": "", "label": ""}
    assert long[None] == ["0"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("patient_id,pet\nJürgen,p\n".encode("cp1252"), "line 2 is not UTF-8 text"),
        (b"PK\x03\x04and so on", "spreadsheet's own file"),
        (b"\xd0\xcf\x11\xe0and so on", "spreadsheet's own file"),
        (b"pet\0ct", "no text"),
        (b"pet,PET ,label\n1,2,3\n", "two columns pet"),
        (b"pet,label\n1,2\n" + b"x" * 200_000 + b",1\n", "line 3 is not CSV"),
    ],
)
def test_the_true_cause_is_named(tmp_path, content, cause):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=cause) as caught:
        read_table(path, KNOWN)
    assert caught.value.hint


def test_nothing_in_it(tmp_path):
    path = tmp_path / "t.csv"
    for content in ("", "\n\n", ";;;\n"):
        path.write_text(content)
        table = read_table(path, KNOWN)
        assert (table.columns, table.rows) == ([], [])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.0", 1), ("1,0", 1), (" 365,5 ", 365.5), ("-0,125", -0.125), (",5", 0.5), ("1e3", 1000)]
    + [(text, None) for text in ("", "1,234", "1.234,5", "1,2,3", "yes", "1 0")],
)
def test_numbers_of_any_country(text, value):
    assert as_number(text) == value
