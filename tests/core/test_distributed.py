"""Shares of a batch."""

import pytest

from genas.core.distributed import Share


@pytest.mark.parametrize("count", [1, 5, 8, 33])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_processes_divide_every_piece_and_pieces_do_not_depend_on_them(count, processes, pieces):
    shares = [Share(process, processes, pieces).parts(count) for process in range(processes)]
    alone = Share(0, 1, pieces).parts(count)
    for piece in range(pieces):
        assert [row for share in shares for row in share[piece]] == list(alone[piece])
        sizes = [len(share[piece]) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    assert [row for part in alone for row in part] == list(range(count))
    assert Share(0, processes, pieces).rows(count).tolist() == [row for part in shares[0] for row in part]
