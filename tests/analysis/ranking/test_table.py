"""Tables are read in all forms; faults are one sentence that says what to do."""

import csv
import gzip
import json
import sys
import types

import numpy as np
import pytest

from genas.analysis.ranking.table import NatsTable, open_table
from genas.core.errors import ConfigError, DataError
from genas.spaces import open_space

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
MACRO = open_space("nasbench-macro", channels=4, tail_channels=16)
GENOTYPES = [SPACE.parse(f"{number:06d}").genotype for number in (0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 333333)]


def rows(count=12, **changes):
    found = [{"arch": one, "test": 50 + place / 3, "index": place} for place, one in enumerate(GENOTYPES[:count])]
    for row, content in changes.items():
        found[int(row.removeprefix("row"))] |= content
    return found


def written(path, content):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(content[0]))
        writer.writeheader()
        writer.writerows(content)
    return path


def test_csv_gzip_and_parquet_say_the_same(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows()), tmp_path / "t.parquet")
    for path in (
        written(tmp_path / "t.csv", rows()),
        written(tmp_path / "t.csv.gz", rows()),
        tmp_path / "t.parquet",
    ):
        table = open_table(path, SPACE)
        assert table.columns == ("test",)  # index is no accuracy
        assert table.genotypes == tuple(GENOTYPES)
        assert table.values([GENOTYPES[3], GENOTYPES[0]])["test"] == pytest.approx([51, 50])
        assert table.describe()["rows"] == 12
    named = open_table(tmp_path / "t.csv", SPACE, columns=["index", "test"])
    assert named.columns == ("index", "test")


def test_any_text_form_of_a_genotype_is_accepted(tmp_path):
    content = [{"cell": f"0000{one}{other}", "accuracy": one} for one in range(3) for other in range(5)]
    path = written(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=r"no column of genotypes: name one with --genotype-column.*it has cell, acc"):
        open_table(path, SPACE)
    assert open_table(path, SPACE, genotype_column="cell").genotypes[1] == SPACE.parse("000001").genotype


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (rows(row3={"arch": GENOTYPES[1]}), {}, r"has \|none~0.* twice, in rows 2 and 4; remove one"),
        (rows(row2={"arch": "|conv~0|"}), {}, r"row 3: '\|conv~0\|' is no architecture of 'nasbench201' .*conv"),
        (rows(row5={"test": "nan"}), {}, r"row 6: test is 'nan', not a finite number"),
        (rows(row5={"test": ""}), {}, r"row 6: test is '', not a finite number"),
        (rows(row5={"test": "high"}), {}, r"row 6: test is 'high', not a finite number"),
        (rows(9), {}, r"has 9 rows; a rank correlation needs at least 10"),
        (rows(), {"columns": ["test", "valid"]}, r"has no column valid; it has test, index"),
        (rows(), {"genotype_column": "name"}, r"has no column 'name' for genotypes; it has arch, test, index"),
        ([row | {"genotype": "x"} for row in rows()], {}, r"has several columns of genotypes \(arch, genotype\)"),
        (
            [{"arch": row["arch"], "note": "a"} for row in rows()],
            {},
            r"no numeric column of accuracies; name one of note",
        ),
        (
            [{"arch": f"0000000{place % 3}"[-8:], "test": 1} for place in range(12)],
            {},
            r"is a table of the space 'nasbench-macro', the run's space is 'nasbench201': row 1 is 00000000",
        ),
    ],
)
def test_faults_of_a_table_are_one_sentence(tmp_path, content, options, message):
    path = written(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=message) as caught:
        open_table(path, SPACE, **options)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match="There is no table at"):
        open_table(tmp_path / "missing.csv", SPACE)
    with pytest.raises(DataError, match="is a folder"):
        open_table(tmp_path, SPACE)
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(DataError, match=r"is no table: \.csv, \.csv\.gz, \.parquet and \.json are read"):
        open_table(tmp_path / "t.txt", SPACE)
    (tmp_path / "t.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        open_table(tmp_path / "t.csv.gz", SPACE)
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_table(tmp_path / "t.parquet", SPACE)
    (tmp_path / "t.csv").write_text("arch,test\n000000,1\n000001\n")
    with pytest.raises(DataError, match=r"line 3: expected 2 values, one for each column, got 1"):
        open_table(tmp_path / "t.csv", SPACE)


def test_a_damaged_archive_and_a_line_that_is_too_short_are_one_sentence(tmp_path):
    path = written(tmp_path / "t.csv.gz", rows())
    content = bytearray(path.read_bytes())
    content[40] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.csv\.gz cannot be read as CSV"):
        open_table(path, SPACE)
    whole = written(tmp_path / "t.csv", rows()).read_text().replace("\r", "").splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*whole[:3], "", "short", *whole[3:]]))
    with pytest.raises(DataError, match=r"t\.csv, line 5: expected 3 values, one for each column, got 1"):
        open_table(tmp_path / "t.csv", SPACE)


def macro_entry(mean):
    return {"test_acc": [mean, mean], "mean_acc": mean, "std": 0.1, "params": 5, "flops": 7}


def test_the_json_file_of_nasbench_macro(tmp_path):
    content = {f"000000{one}{other}": macro_entry(80.0 + one + other / 2) for one in range(3) for other in range(3)}
    content |= {"00000100": macro_entry(70.0)}
    (tmp_path / "macro.json").write_text(json.dumps(content))
    table = open_table(tmp_path / "macro.json", MACRO)
    assert table.columns == ("mean_acc",)
    assert table.values(["00000021", "00000100"])["mean_acc"] == pytest.approx([82.5, 70])
    assert open_table(tmp_path / "macro.json", MACRO, columns=["flops"]).columns == ("flops",)
    with pytest.raises(DataError, match=r"is a table of the space 'nasbench-macro', the run's space is 'nasbench201'"):
        open_table(tmp_path / "macro.json", SPACE)
    (tmp_path / "twice.json").write_text('{"00000000": {"mean_acc": 1}, "00000000": {"mean_acc": 2}}')
    with pytest.raises(DataError, match="names '00000000' twice"):
        open_table(tmp_path / "twice.json", MACRO)
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="has another layout"):
        open_table(tmp_path / "list.json", MACRO)


class Interface:
    """Behaves as the interface of the package nats_bench."""

    meta_archs = GENOTYPES

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        assert (hp, is_random) == ("200", False)
        print("it prints")
        value = {"cifar10": 90, "cifar100": 70, "ImageNet16-120": 40, "cifar10-valid": 85}[dataset] + index / 10
        return {"valid-accuracy": value} if dataset == "cifar10-valid" else {"test-accuracy": value}


def test_nats_bench_through_its_interface(tmp_path, monkeypatch, capsys):
    archive = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    archive.mkdir()
    asked = {}

    def create(path, space, fast_mode, verbose):
        asked.update(path=path, space=space, fast_mode=fast_mode, verbose=verbose)
        return Interface()

    monkeypatch.setitem(sys.modules, "nats_bench", types.SimpleNamespace(create=create))
    table = open_table(archive, SPACE)
    assert isinstance(table, NatsTable)
    assert asked == {"path": str(archive), "space": "tss", "fast_mode": True, "verbose": False}
    values = table.values([GENOTYPES[2], GENOTYPES[1]])
    assert list(values) == ["cifar10_test", "cifar100_test", "imagenet16_test"]
    assert values["cifar10_test"] == pytest.approx([90.2, 90.1])
    assert values["imagenet16_test"] == pytest.approx([40.2, 40.1])
    assert capsys.readouterr().out == ""  # a JSON on the same stream stays readable
    assert open_table(archive, SPACE, ["cifar10_valid"]).values(GENOTYPES[:1])["cifar10_valid"] == pytest.approx([85])
    with pytest.raises(DataError, match="cifar100_valid is None; choose other columns"):
        open_table(archive, SPACE, ["cifar100_valid"]).values(GENOTYPES[:1])
    with pytest.raises(DataError, match="has no column accuracy; it has cifar10_test"):
        open_table(archive, SPACE, ["accuracy"])
    with pytest.raises(DataError, match="is not a table of the run's space 'nasbench-macro'"):
        open_table(archive, MACRO)


def test_without_the_package_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    (tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"nats_bench is not installed.*pip install 'genas\[nats\]'"):
        open_table(tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2", SPACE)


def test_the_real_table_of_nasbench201(shared_data):
    path = shared_data / "nasbench201.csv.gz"
    if not path.exists():
        pytest.skip("nasbench201.csv.gz is not there")
    table = open_table(path, SPACE)
    assert len(table) == SPACE.size()
    values = table.values(table.genotypes)
    assert {name: (float(column.max()), int(np.argmax(column))) for name, column in values.items()} == {
        "cifar10_test": (94.3733, 6111),
        "cifar100_test": (73.5133, 9930),
        "imagenet16_test": (47.3111, 857),
    }
