#!/bin/sh
# Makes a corpus for each target from the cases in ../testdata: the first section of each, after
# the byte of its dialect and the bytes that the target takes its other choices from.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/read_call corpus/read_answer corpus/round_trip
pick() {
    n=0
    # As in `DialectId::ALL`.
    for name in openai-chat openai-responses anthropic-messages gemini bedrock-converse \
        cohere-chat ollama-chat ai-sdk; do
        [ "$name" = "$1" ] && printf "%03o" "$n" && return
        n=$((n + 1))
    done
    return 1
}
input() { awk 'NR > 1 && /^=== / { exit } NR > 1' "$1"; }
for file in ../testdata/calls/*.case; do
    head=$(head -n 1 "$file")
    byte=$(pick "$(echo "$head" | cut -d ' ' -f 3)") || continue
    name=$(basename "$file" .case)
    { printf "\\$byte"; input "$file"; } > "corpus/read_call/$name"
    { printf "\\$byte\\377"; input "$file"; } > "corpus/round_trip/$name"
    { printf "\\$byte\\000"; input "$file"; } > "corpus/round_trip/$name-plain"
done
for file in ../testdata/answers/*.case; do
    head=$(head -n 1 "$file")
    byte=$(pick "$(echo "$head" | cut -d ' ' -f 3)") || continue
    kind=000
    [ "$(echo "$head" | cut -d ' ' -f 4)" = stream ] && kind=001
    name=$(basename "$file" .case)
    { printf "\\$byte\\$kind\\100\\200"; input "$file"; } > "corpus/read_answer/$name"
done
