import json
import re
from pathlib import Path

import pytest

import genas.cli
from genas.cli.app import COMMANDS
from genas.cli.options import emit


class Found:
    def to_dict(self):
        return {"score": 1.5}


@pytest.mark.parametrize(
    ("result", "content"), [({"a": 1}, {"a": 1}), ([1, 2], [1, 2]), ([], []), (Found(), {"score": 1.5})]
)
def test_a_result_is_printed_once_for_people_or_as_json(capsys, result, content):
    shown = []
    emit(result, False, shown.append)
    assert shown == [result]
    assert capsys.readouterr().out == ""
    emit(result, True, shown.append)
    assert len(shown) == 1
    assert json.loads(capsys.readouterr().out) == content


def test_every_command_ends_that_way():
    files = [path for path in Path(genas.cli.__file__).parent.glob("*.py") if path.name != "options.py"]
    written = {path.stem: path.read_text() for path in files}
    with_json = {name for name, text in written.items() if "options.Json" in text}
    assert with_json == {command.__name__ for command in COMMANDS}
    for name in with_json:
        assert "options.emit(" in written[name], name
    assert not [name for name, text in written.items() if re.search(r"json\.dumps", text)]
