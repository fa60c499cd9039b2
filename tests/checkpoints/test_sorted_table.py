from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albatross.checkpoints import sorted_table
from albatross.checkpoints.sorted_table import TableWriter, crc32c_masked, read_table
from albatross.protobuf import encode_varint


def table(items):
    file = BytesIO()
    writer = TableWriter(file)
    for key, value in items:
        writer.add(key, value)
    writer.finish()
    return file.getvalue()


def read(data):
    return read_table(memoryview(data))


def with_block(block, *, kind=0, handle=None):
    """A table whose only data block holds these bytes."""

    def closed(content, compression=0):
        content += bytes([compression])
        return content + crc32c_masked(content).to_bytes(4, "little")

    handle = handle or encode_varint(0) + encode_varint(len(block))
    index = b"\0\0" + encode_varint(len(handle)) + handle + b"\0\0\0\0\1\0\0\0"
    data = closed(block, kind) + closed(index)
    footer = b"\0\0" + encode_varint(len(block) + 5) + encode_varint(len(index))
    return data + footer.ljust(40, b"\0") + sorted_table.MAGIC.to_bytes(8, "little")


KEYS = st.dictionaries(st.binary(max_size=40), st.binary(max_size=600), max_size=60)
ONE_KEY = b"\0\1\1kv\0\0\0\0\1\0\0\0"


@given(KEYS)
def test_what_is_written_is_read(items):
    assert read(table(sorted(items.items()))) == items


def test_many_blocks_are_read_in_order():
    items = [(b"key %06d" % number, b"x" * (number % 90)) for number in range(2_000)]
    data = table(items)
    assert list(read(data).items()) == items
    assert len(data) < sum(len(key) + len(value) for key, value in items)  # shared prefixes


def test_the_checksum_is_leveldbs():
    # CRC-32C of these nine bytes is 0xE3069283 (RFC 3720 has the polynomial), then turned.
    turned = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    assert crc32c_masked(b"123456789") == (turned + 0xA282EAD8) & 0xFFFFFFFF


def test_a_hand_made_block_is_read():
    assert read(with_block(ONE_KEY)) == {b"k": b"v"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "mark of a table"),
        (with_block(ONE_KEY)[:-1], "mark of a table"),
        (with_block(ONE_KEY, kind=1), "compressed with snappy"),
        (with_block(ONE_KEY, kind=7), "unknown way 7"),
        (with_block(ONE_KEY, handle=encode_varint(9) + encode_varint(2**60)), "beyond the end"),
        (with_block(b"\0\1\1kv\xff\xff\xff\x7f"), "list of restarts"),
        (with_block(b"\1" + ONE_KEY[1:]), "beyond its bounds"),
        (with_block(b"\0\x7f" + ONE_KEY[2:]), "beyond its bounds"),
        (with_block(b"\0\1\1kv" + ONE_KEY), "not behind"),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        read(data)


def test_keys_that_grow_out_of_nothing_are_refused(monkeypatch):
    monkeypatch.setattr(sorted_table, "_MOST_KEY_BYTES", 1000)
    longer = b"".join(encode_varint(number) + b"\1\0k" for number in range(100))
    with pytest.raises(ValueError, match="64 MiB"):
        read(with_block(longer + ONE_KEY[-8:]))


def test_a_block_is_not_read_twice():
    writer = TableWriter(file := BytesIO())
    writer.add(b"a", b"")
    writer._end_block()
    writer._index.add(b"b", b"\0\x0c")  # the first block again
    writer.finish()
    with pytest.raises(ValueError, match="over the one before it"):
        read(file.getvalue())
