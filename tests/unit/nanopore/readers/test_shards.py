"""Parts of a list of files: nothing lost, nothing twice, in order, alike in bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.nanopore.readers.files import choose, count_shards, cut, list_files, parse_shard, read_list


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=60), st.integers(1, 80))
def test_every_index_is_in_one_part_and_in_order(weights: list[int], parts: int) -> None:
    ranges = cut(weights, parts)
    assert len(ranges) == parts
    assert [index for part in ranges for index in part] == list(range(len(weights)))


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.integers(1, 20))
def test_no_part_is_heavier_than_its_share_and_one_file(weights: list[int], parts: int) -> None:
    for part in cut(weights, parts):
        assert sum(weights[index] for index in part) * parts <= sum(weights) + max(weights) * parts


def files_in(folder: Path, sizes: dict[str, int]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        (folder / name).write_bytes(bytes(size))
    return [folder / name for name in sorted(sizes)]


def test_shards_of_a_folder_are_its_files_in_the_order_of_reading(tmp_path: Path) -> None:
    files = files_in(tmp_path / "a", {f"{number}.fast5": 10 * number for number in range(9)})
    (tmp_path / "a/notes.txt").touch()
    (tmp_path / "link.fast5").symlink_to(files[3])
    paths = [tmp_path / "a", tmp_path / "link.fast5"]  # the link is a file that was read before
    for parts in (1, 2, 4, 20):
        shards = [choose(paths, None, f"{number}/{parts}") for number in range(1, parts + 1)]
        assert [file for shard in shards for file in shard] == files


def test_what_cannot_be_read_stays_in_the_list(tmp_path: Path) -> None:
    """Whoever reads its part reports it, as one process would."""
    files = files_in(tmp_path, {"a.pod5": 1, "b.pod5": 1})
    assert list_files([files[0], tmp_path / "gone.pod5", files[1]]) == [files[0], tmp_path / "gone.pod5", files[1]]


def test_archives_of_a_folder_stay_in_the_list_and_the_folder_does_not(tmp_path: Path) -> None:
    files = files_in(tmp_path, {"a.pod5": 1, "b.tar": 1})
    assert list_files([tmp_path]) == files


def test_a_list_in_place_of_paths(tmp_path: Path) -> None:
    files = files_in(tmp_path / "a", {"x.pod5": 3, "y z.pod5": 4})
    listed = tmp_path / "files.txt"
    listed.write_text("\n".join(map(str, files)) + "\n")
    assert choose([], listed, None) == files
    assert choose([], listed, "2/2") == files[1:]
    for paths, source in (([], None), (files, listed)):
        with pytest.raises(ConfigError, match="not both"):
            choose(paths, source, None)
    listed.write_text("\n")
    with pytest.raises(InputError, match="holds no path"):
        read_list(listed)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/" + "9" * 5000, "3", "1/0", "-1/2", "a/b", "1/2/3", ""])
def test_shard_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed is I/N"):
        parse_shard(text)


def test_number_of_shards(tmp_path: Path) -> None:
    files = files_in(tmp_path, {f"{number}.pod5": 100_000 for number in range(10)})
    assert count_shards([], 1e9) == 1
    assert count_shards(files, 1e9) == 1
    assert count_shards(files, 250_000) == 4
    assert count_shards(files, 1) == 10
