"""Records that confluent-kafka's producer cannot make: header names of any bytes."""

import ctypes
import glob
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

_END, _TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _HEADERS = 0, 1, 3, 4, 5, 7, 10
_COPY = 2


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka brings."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (path,) = glob.glob(str(folder / "librdkafka*.so*"))
    library = ctypes.CDLL(path)
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def produce(
    bootstrap: str,
    topic: str,
    partition: int,
    key: bytes,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> None:
    """Send one record through librdkafka's C interface, and wait until the broker has it."""
    lib, pointer, size = _library(), ctypes.c_void_p, ctypes.c_size_t
    error = ctypes.create_string_buffer(512)
    config = pointer(lib.rd_kafka_conf_new())
    lib.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap.encode(), error, size(512))
    producer = pointer(lib.rd_kafka_new(0, config, error, size(512)))
    assert producer.value, error.value
    held = pointer(lib.rd_kafka_headers_new(size(len(headers))))
    for name, content in headers:
        lib.rd_kafka_header_add(
            held, name, ctypes.c_ssize_t(len(name)), content, ctypes.c_ssize_t(len(content))
        )
    failed = lib.rd_kafka_producev(
        producer,
        ctypes.c_int(_TOPIC),
        topic.encode(),
        ctypes.c_int(_PARTITION),
        ctypes.c_int32(partition),
        ctypes.c_int(_FLAGS),
        ctypes.c_int(_COPY),
        ctypes.c_int(_KEY),
        key,
        size(len(key)),
        ctypes.c_int(_VALUE),
        value,
        size(len(value)),
        ctypes.c_int(_HEADERS),
        held,
        ctypes.c_int(_END),
    )
    assert failed == 0, f"librdkafka error {failed}"
    assert lib.rd_kafka_flush(producer, ctypes.c_int(30_000)) == 0
    lib.rd_kafka_destroy(producer)
