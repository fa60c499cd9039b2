import pytest

from albatross.checkpoints.bundle_index import (
    Entry,
    bounds,
    check_places,
    check_slices,
    encode_entry,
    encode_header,
    read_entry,
    read_header,
    slice_key,
)
from albatross.protobuf import encode_field


def dimension(size):
    return encode_field(2, encode_field(1, size))


def sliced(*parts, shape=(4,), size=None):
    """The records of a variable `v` with these parts, which are all there."""
    entries = {b"v": Entry(1, shape, slices=parts)}
    for part in parts:
        length = size or part[0][1]
        entries[slice_key(b"v", part)] = Entry(1, (length, *shape[1:]), size=4)
    return entries


@pytest.mark.parametrize(
    "entry",
    [
        Entry(1, (2, 3), 1, 40, 24, 2**32 - 1),
        Entry(9, (), size=8),
        Entry(7, (5,), size=99, checksum=1),
        Entry(1, (7, 2), slices=(((0, 4), (0, None)), ((4, 3), (0, None)))),
        Entry(1, (0,), slices=(((0, 0),),)),
    ],
)
def test_a_record_comes_back(entry):
    assert read_entry(encode_entry(entry)) == entry


def test_a_header_comes_back():
    assert read_header(encode_header()) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "names 0 files"),
        (encode_field(1, -1), "names -1 files"),
        (encode_header() + encode_field(2, 1), "big-endian"),
        (encode_field(1, 1) + encode_field(3, encode_field(2, 2)), "reader of version 2"),
    ],
)
def test_a_header_of_another_kind_is_refused(header, message):
    with pytest.raises(ValueError, match=message):
        read_header(header)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "type 0"),
        (encode_field(1, 1) + encode_field(4, -1) + encode_field(5, 4), "offset -1"),
        (encode_field(1, 1) + encode_field(5, 8), "8 bytes for the shape"),
        (encode_field(1, 1) + encode_field(2, dimension(2**60)), "a shape is"),
        (encode_field(1, 1) + encode_field(2, dimension(2**60) + dimension(0)), "a shape is"),
        (encode_field(1, 1) + encode_field(2, dimension(2**40) * 2), "a shape is"),
        (encode_field(1, 1) + encode_field(2, dimension(-1)), "a shape is"),
        (encode_field(1, 1) + encode_field(2, dimension(1) * 33), "over 32 dimensions"),
        (encode_field(1, 1) + encode_field(2, encode_field(3, 1)), "not known"),
    ],
)
def test_a_record_that_cannot_be_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        read_entry(record)


# === Places ===


def test_values_side_by_side_are_fine():
    check_places(
        [Entry(1, (), 0, 4, 4), Entry(1, (), 0, 0, 4), Entry(1, (), 1, 0, 4)], 2, {0: 8, 1: 4}
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry(1, (), 0, 5, 4)], "up to byte 9"),
        ([Entry(1, (), 3, 0, 4)], "file 3 of 1"),
        ([Entry(1, (), 0, 0, 4), Entry(1, (), 0, 3, 4)], "byte 3 lie over"),
    ],
)
def test_values_that_cannot_lie_there_are_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        check_places(entries, 1, {0: 8})


# === Slices ===


def test_slices_that_fill_a_variable_are_fine():
    check_slices(b"v", sliced(((0, 1),), ((1, 3),)))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (sliced(((0, 1),), ((1, 2),)), "do not fill"),
        (sliced(((0, 1),), ((1, 4),)), "from 1 to 5"),
        (sliced(((-1, 1),)), "from -1 to 0"),
        (sliced(((3, -1),)), "from 3 to 2"),
        (sliced(((0, 4),), size=3), "another shape"),
        (sliced(((0, 4), (0, 1)), shape=(4,)), "2 dimensions, its variable 1"),
        ({b"v": Entry(1, (4,), slices=(((0, 4),),))}, "missing"),
        (sliced(((0, 4),)) | {slice_key(b"v", ((0, 4),)): Entry(2, (4,), size=8)}, "missing or"),
    ],
)
def test_slices_that_do_not_fit_are_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        check_slices(b"v", entries)


def test_a_slice_without_a_length_is_all_of_the_dimension():
    assert bounds(((2, 1), (0, None)), (4, 5)) == [(2, 3), (0, 5)]
    with pytest.raises(ValueError, match="from 1 to 5"):
        bounds(((1, None),), (5,))


# As TensorFlow's ordered codes have it: 64 takes two bytes, 8192 three, and all of it is -1.
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (0, "80"),
        (63, "bf"),
        (64, "c040"),
        (8191, "dfff"),
        (8192, "e02000"),
        (2**40, "fd0000000000"),
    ],
)
def test_keys_hold_numbers_in_ordered_codes(number, code):
    key = slice_key(b"v", ((number, None),))
    assert key.hex() == b"\0v\0\1\1\1".hex() + code + "7f"


def test_keys_escape_the_bytes_that_end_a_name():
    assert slice_key(b"a\0b\xffc", ()) == b"\0a\0\xffb\xff\0c\0\1\0"
