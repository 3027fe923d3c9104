#!/bin/sh
# libmikeyd exports the functions that its headers declare, all of them and nothing else.
# exports.sh LIBRARY HEADER...
set -eu
library=$1
shift
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(cat "$@" | grep -oE '\bmikeyd_[a-z_]+ ?\(' | tr -d ' (' | sort -u |
    grep -vxE 'mikeyd_done')
if [ "$exported" != "$declared" ]; then
    echo "exported and declared differ:" >&2
    printf '%s\n' "$exported" "$declared" | sort | uniq -u >&2
    exit 1
fi
