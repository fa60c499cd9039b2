import pytest
from hypothesis import given
from hypothesis import strategies as st

from albatross.protobuf import (
    encode_field,
    encode_fixed32,
    encode_varint,
    fields,
    read_varint,
    read_varints,
)


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(-(2**63), 2**63 - 1))))
def test_numbers_come_back(numbers):
    message = b"".join(encode_field(number, value) for number, value in numbers)
    assert [(field.number, field.integer) for field in fields(message)] == numbers


@given(st.lists(st.binary(max_size=300)))
def test_bytes_come_back(contents):
    message = b"".join(encode_field(7, content) for content in contents)
    assert [bytes(field.content) for field in fields(message)] == contents


@given(st.floats(width=32, allow_nan=False))
def test_a_float32_comes_back(value):
    [field] = fields(encode_field(2, value))
    assert field.float32 == value


def test_a_checksum_takes_four_bytes_whatever_it_is():
    assert encode_fixed32(6, 2**32 - 1) == bytes([6 << 3 | 5, 255, 255, 255, 255])
    [field] = fields(encode_fixed32(6, 2**32 - 1))
    assert field.integer == 2**32 - 1


def test_bytes_are_not_copied():
    data = bytearray(encode_field(1, b"gull"))
    [field] = fields(memoryview(data))
    data[-4:] = b"tern"
    assert bytes(field.content) == b"tern"


def test_a_packed_list_is_read():
    packed = b"".join(map(encode_varint, [3, -1, 2**62]))
    assert list(read_varints(memoryview(packed))) == [3, -1, 2**62]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x08", "ends within a number"),
        (b"\x08\x80", "ends within a number"),
        (b"\x08" + b"\xff" * 10, "longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "longer than 64 bits"),
        (b"\x0a\x05gull", "5 bytes goes beyond the end"),
        (b"\x0a\xff\xff\xff\xff\xff\x7f", "goes beyond the end"),
        (b"\x0d\x00\x00\x00", "goes beyond the end"),
        (b"\x00\x00", "has the number 0"),
        (b"\x0b\x0c", "wire type 3"),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        list(fields(data))


def test_a_number_is_no_bytes_and_bytes_no_number():
    number, content = fields(encode_field(1, 5) + encode_field(2, b"five"))
    with pytest.raises(ValueError, match="field 1 holds a number"):
        _ = number.content
    with pytest.raises(ValueError, match="field 2 holds bytes"):
        _ = content.integer
    with pytest.raises(ValueError, match="field 1 holds no float32"):
        _ = number.float32


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_value_error(data):
    try:
        found = list(fields(data))
    except ValueError:
        return
    assert len(found) <= len(data) // 2


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_number_ends_where_it_says(number, rest):
    encoded = encode_varint(number)
    assert read_varint(memoryview(encoded + rest), 0) == (number, len(encoded))
