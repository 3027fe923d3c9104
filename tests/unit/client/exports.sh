#!/bin/sh
# libmikeyd exports the functions that its header declares, all of them and nothing else.
# exports.sh LIBRARY HEADER
set -eu
exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(grep -oE '\bmikeyd_[a-z_]+ ?\(' "$2" | tr -d ' (' | sort -u |
    grep -vxE 'mikeyd_done')
if [ "$exported" != "$declared" ]; then
    echo "exported and declared differ:" >&2
    printf '%s\n' "$exported" "$declared" | sort | uniq -u >&2
    exit 1
fi
