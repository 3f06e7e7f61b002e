"""What the operating system says about files, in plain words, in scripts and for single items."""

import errno
import os

import pytest

from command_line import explain
from temu_vtoff.errors import of_file, reason_of
from temu_vtoff.serving import describe


def reading(path):
    return path.read_bytes()


def test_every_error_of_a_file_is_one_plain_sentence_with_its_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    attempts = {
        "there is no such file or folder: {}/none.": lambda: reading(tmp_path / "none"),
        "a folder stands where a file is expected: {}.": lambda: reading(tmp_path),
        "a file stands where a folder is expected: {}/file/photo.": lambda: reading(tmp_path / "file/photo"),
        "there is already a file or folder of that name: {}/file.": lambda: (tmp_path / "file").mkdir(),
        "links lead in a circle: {}/circle.": lambda: reading(tmp_path / "circle"),
        "the file name is too long: {}/" + "n" * 300 + ".": lambda: reading(tmp_path / ("n" * 300)),
    }
    for sentence, attempt in attempts.items():
        with pytest.raises(OSError) as raised:
            attempt()
        expected = sentence.format(tmp_path)
        assert explain(raised.value) == describe(raised.value) == of_file(raised.value) == expected
        assert str(tmp_path) not in reason_of(raised.value)


def test_numbers_without_words_of_ours_take_the_systems(tmp_path):
    error = OSError(errno.EBUSY, os.strerror(errno.EBUSY), "photo.png")
    assert explain(error) == "device or resource busy: photo.png."
    assert explain(OSError("the model can't be had")) == "the model can't be had" and explain(KeyError("a")) is None
