#!/usr/bin/env bash
# Polars 2.1.0: `read_avro` ends at the first block without records and leaves out what follows, without a word.
#
# Expected: the specification allows a block of no records ("a long indicating the count of objects in this block"),
#           so a reader goes on to the next: fastavro 1.13.1 and PyPI avro 1.12.2 read both records.
# Seen:     a file of three blocks (one record, none, one record):
#           fastavro [1, 2], avro [1, 2], polars [1]
#
# Installs the packages below with pip into a temporary directory; it needs python3 with venv. Ends with 0 while this
# holds.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check polars==2.1.0 fastavro==1.13.1 avro==1.12.2 \
  >"$work/pip.log" 2>&1 || { cat "$work/pip.log"; exit 2; }

"$work/venv/bin/python" - <<'PY'
import io
import json
import sys

import avro.datafile
import avro.io
import fastavro
import polars

SYNC = b"a marker of 16 b"
SCHEMA = json.dumps({"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}).encode()


def long(n):
    """Zigzag; the numbers here take one byte or two."""
    n *= 2
    return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])


def block(*numbers):
    data = b"".join(map(long, numbers))
    return long(len(numbers)) + long(len(data)) + data + SYNC


header = b"Obj\x01" + long(1) + long(11) + b"avro.schema" + long(len(SCHEMA)) + SCHEMA + long(0) + SYNC
file = header + block(1) + block() + block(2)

seen = {
    "fastavro": [record["n"] for record in fastavro.reader(io.BytesIO(file))],
    "avro": [record["n"] for record in avro.datafile.DataFileReader(io.BytesIO(file), avro.io.DatumReader())],
    "polars": polars.read_avro(io.BytesIO(file))["n"].to_list(),
}
print(", ".join(f"{name} {numbers}" for name, numbers in seen.items()))
sys.exit(seen != {"fastavro": [1, 2], "avro": [1, 2], "polars": [1]})
PY
