"""Makes a Q4_0 file of a model's own weights: `python -m bench.make_q4_0 [SOURCE] [TARGET]`.

Q4_0 is the form that llama.cpp computes fastest on many processors. Matrices of 4 bits with a minimum (Q4_1) are
dequantized and quantized again by the published rule: 32 values share a scale, which makes the value furthest from
zero -8. All else, the embedding in 8 bits included, is copied. The same source always gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

MODELS = Path(__file__).resolve().parent.parent / "models"
SOURCE = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
TARGET = MODELS / "bench" / "SmolLM2-135M-Instruct.Q4_0.gguf"
_COPIED = ("GGUF.", "general.architecture", "general.file_type")  # what the writer writes by itself, or is not so now


def make_q4_0(source: Path, target: Path) -> None:
    """Write `target`. It is there only once it is whole."""
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    unfinished = target.with_suffix(".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(unfinished, architecture)
    for field in reader.fields.values():
        if not field.name.startswith(_COPIED):
            _copy_field(writer, field)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind == GGMLQuantizationType.Q4_1:
            kind = GGMLQuantizationType.Q4_0
            data = quantize(dequantize(data, GGMLQuantizationType.Q4_1), kind)
        writer.add_tensor(tensor.name, np.ascontiguousarray(data), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(target)


def _copy_field(writer: GGUFWriter, field: gguf.ReaderField) -> None:
    kind = field.types[0]
    inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)


def main() -> None:
    """Make the file, and say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", default=SOURCE)
    parser.add_argument("target", type=Path, nargs="?", default=TARGET)
    options = parser.parse_args()
    make_q4_0(options.source, options.target)
    print(f"{options.target}: {options.target.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
