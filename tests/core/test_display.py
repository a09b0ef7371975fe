from genas.core.display import visible


def test_only_what_does_not_print_is_escaped():
    assert visible("Größe 3×3 [x] → 漢字") == "Größe 3×3 [x] → 漢字"
    assert visible("a\x1b[2Jb\x00\x9b\n") == "a\\x1b[2Jb\\x00\\x9b\n"
    assert visible("a\nb\u202e", keep="") == "a\\nb\\u202e"
    assert visible(3) == "3"
