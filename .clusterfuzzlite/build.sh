#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Builds every target for OSS-Fuzz and ClusterFuzzLite: program, kept inputs and dictionary go to $OUT.
set -euo pipefail
cd "$SRC/igd"

cargo fuzz build --release --debug-assertions
programs="${CARGO_TARGET_DIR:-fuzz/target}/x86_64-unknown-linux-gnu/release"

for source in fuzz/fuzz_targets/*.rs; do
    name="$(basename "$source" .rs)"
    cp "$programs/$name" "$OUT/$name"
    inputs=()
    for folder in "fuzz/seeds/$name" "fuzz/regressions/$name"; do
        if [ -d "$folder" ]; then
            while IFS= read -r -d '' input; do inputs+=("$input"); done < <(find "$folder" -type f -print0 | sort -z)
        fi
    done
    if [ "${#inputs[@]}" -gt 0 ]; then
        zip --quiet --junk-paths "$OUT/${name}_seed_corpus.zip" "${inputs[@]}"
    fi
    if [ -f "fuzz/dictionaries/$name.dict" ]; then
        cp "fuzz/dictionaries/$name.dict" "$OUT/$name.dict"
    fi
done
