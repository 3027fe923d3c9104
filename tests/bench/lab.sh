# Shell functions of the commands in this folder: tokens, a configuration, and daemons in a folder that
# is removed at the end. Sourced; wants `set -euo pipefail`.
#
# Set before lab_open: token (softhsm, nss), sessions; of a slow token also call_ms.

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$source_dir/build/release
token=softhsm sessions=2 call_ms=0 mac=token queue=1024 keys=1
a=sip:sbc-a@carrier.example b=sip:sbc-b@carrier.example
lab= pids=() clients=()

lab_close() {
    [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" && wait "${pids[@]}"; } 2>/dev/null || true
    [ -z "$lab" ] || rm -rf "$lab"
}

lab_open() {
    lab=$(mktemp -d /tmp/mikeyd-bench.XXXXXX)
    # Clients of another user come to the sockets, and to nothing else.
    chmod 711 "$lab"
    trap lab_close EXIT
    clients=("{name: bench, uid: $(id -u), acts_as: [\"$a\", \"$b\"], may: [initiate, respond]}")
}

module_of_token() {
    case "$token" in
    softhsm) ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -1 || true ;;
    nss) ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so 2>/dev/null | head -1 || true ;;
    esac
}

make_token() { # folder
    mkdir -p "$1/token"
    chmod 711 "$1"
    printf 1234567890 >"$1/pin"
    case "$token" in
    softhsm)
        printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$1/token" >"$1/softhsm2.conf"
        SOFTHSM2_CONF=$1/softhsm2.conf softhsm2-util --init-token --free --label bench --pin 1234567890 --so-pin 1234567890 >/dev/null
        ;;
    nss) certutil -N -d "sql:$1/token" -f "$1/pin" ;;
    esac
}

# SoftHSM does not bear two processes that open one token at the same moment.
copy_token() { # from, to
    mkdir -p "$2"
    cp -a "$1/token" "$1/pin" "$2/"
    sed "s|$1|$2|" "$1/softhsm2.conf" >"$2/softhsm2.conf"
}

# A network HSM's calls: each C_Sign takes that long, whatever else the machine does.
slow_down() { # folder
    printf 'C_Sign 1+ delay %s\n' "$call_ms" >"$1/plan"
}

token_entry() { # folder, build
    local module uri=pkcs11:token=bench
    module=$(module_of_token)
    [ "$token" = softhsm ] || uri="pkcs11:token=NSS%20Certificate%20DB"
    [ "$call_ms" = 0 ] || module=$2/tests/unit/libmikeyd_fault_module.so
    printf '  - {module: "%s", uri: "%s", pin_file: "%s/pin", sessions: %s' "$module" "$uri" "$1" "$sessions"
    if [ "$token" = nss ]; then
        printf ', init_args: "configdir='"'sql:%s/token' certPrefix='' keyPrefix='' secmod='secmod.db' flags=noModDB"'"' "$1"
    # A build with keyholders gives them what the configuration says, and no more.
    elif [ -e "$2/src/mikeyd/mikeyd-keyholder" ]; then
        printf ', environment: {SOFTHSM2_CONF: "%s/softhsm2.conf"' "$1"
        [ "$call_ms" = 0 ] || printf ', MIKEYD_FAULT_PLAN: "%s/plan", MIKEYD_FAULT_REAL: "%s"' "$1" "$(module_of_token)"
        printf '}'
    fi
    printf '}\n'
}

write_config() { # folder, build, folders of tokens
    local folder=$1 with=$2 one writable=
    shift 2
    echo "tokens:"
    for one in "$@"; do
        token_entry "$one" "$with"
        writable+=${writable:+, }$one/token
    done
    [ ! -e "$with/src/mikeyd/mikeyd-keyholder" ] || echo "sandbox: {writable: [$writable]}"
    cat <<EOT
policy: $folder/policy.yaml
listen: [{unix: $folder/sock, mode: "0666"}]
replay: {lmdb: $folder/replay}
queue: $queue
audit: {file: $folder/audit.jsonl, sign: {key: bench, generation: 1}}
EOT
}

write_policy() {
    local i until
    until=$(date -u -d '+1 year' +%F)
    cat <<EOT
policy: 1
defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, verification: allowed, clock_skew: 60s, min_psk_bits: 256,
  prf: any, mac: $mac, tgk: transported, provisioning: plaintext-allowed}
nodes: ["$a", "$b"]
pairs: [{initiator: "$a", responder: "$b", key: core}]
clients:
EOT
    printf '  - %s\n' "${clients[@]}"
    echo "keys:"
    echo "  - {name: core, kind: psk, generation: 1, not_after: $until}"
    for ((i = 1; i < keys; i++)); do
        echo "  - {name: k$i, kind: psk, generation: 1, not_after: $until}"
    done
}

# What mikeyctl and the programs here need to load the module themselves.
use_token() { # folder
    [ "$token" != softhsm ] || export SOFTHSM2_CONF=$1/softhsm2.conf
    export MIKEYD_FAULT_REAL MIKEYD_FAULT_PLAN=$1/plan
    MIKEYD_FAULT_REAL=$(module_of_token)
}

make_keys() { # folder, build
    local key
    use_token "$1"
    for key in "audit bench" "ticket bench" "psk core"; do
        "$2/src/mikeyctl/mikeyctl" --config "$1/mikeyd.yaml" key generate --kind "${key% *}" --name "${key#* }" >/dev/null
    done
}

start_daemon() { # folder, build
    "$2/src/mikeyd/mikeyd" --config "$1/mikeyd.yaml" 2>"$1/log" &
    pids+=($!)
    for _ in $(seq 600); do
        kill -0 "${pids[-1]}" 2>/dev/null || break
        "$2/src/mikeyctl/mikeyctl" --socket "$1/sock" status >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$1/log" >&2
    exit 1
}

# One token with its keys, all but the daemon.
prepare_alone() { # folder, build
    make_token "$1"
    [ "$call_ms" = 0 ] || printf '# nothing yet\n' >"$1/plan"
    write_policy >"$1/policy.yaml"
    write_config "$1" "$2" "$1" >"$1/mikeyd.yaml"
    make_keys "$1" "$2"
    [ "$call_ms" = 0 ] || slow_down "$1"
}
