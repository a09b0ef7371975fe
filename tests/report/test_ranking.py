"""File names of a ranking study's figures."""

from genas.report.ranking import LONGEST, slug


def test_names_of_files_are_short_and_different():
    names = ["test", "angle + 2*flatness", "angle - 2*flatness", "Test", "a-b", "a b", "x" * 300, "x" * 301]
    found = [slug(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[0] == "test"
    assert all(len(name) <= LONGEST + 9 and "--" not in name and name == name.lower() for name in found)
