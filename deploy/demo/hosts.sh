# Two hosts, each with a mikeyd, tokens (NSS softokn) and a replay store of its own: read in by the demonstrations.
# They set: dir, mikeyd, mikeyctl, module, sbc_a, sbc_b, fail(); and tokens, how many each host has with the same keys (1).

tokens=${tokens:-1}

token_entry() { # host's folder, number of the token
    cat <<EOT
  - module: $module
    uri: "pkcs11:token=NSS%20Certificate%20DB"
    pin_file: $1/pin
    init_args: "configdir='sql:$1/token-$2' certPrefix='' keyPrefix='' secmod='secmod.db' flags=noModDB"
EOT
}

write_config() { # host's folder, number of tokens
    {
        echo "tokens:"
        for token in $(seq "$2"); do token_entry "$1" "$token"; done
        cat <<EOT
policy: $1/policy.yaml
listen:
  - {unix: $1/sock}
replay:
  lmdb: $1/state/replay
audit:
  file: $1/state/audit.jsonl
sandbox:
  writable: [$(seq -f "$1/token-%g" -s ', ' "$2")]
EOT
    } >"$1/mikeyd.yaml"
}

write_host() { # name, own identity; $dir/epsk is the key of both
    local host=$dir/$1
    mkdir -p "$host/token-1" "$host/state"
    openssl rand -hex 12 >"$host/pin"
    certutil -N -d "sql:$host/token-1" -f "$host/pin"
    cat >"$host/policy.yaml" <<EOT
policy: 1
defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, mki_bytes: 4, provisioning: plaintext-allowed}
keys:
  - {name: core, kind: epsk, generation: 1}
nodes: ["$sbc_a", "$sbc_b"]
pairs:
  - {initiator: "$sbc_a", responder: "$sbc_b", key: core}
  - {initiator: "$sbc_b", responder: "$sbc_a", key: core}
clients:
  - {name: sbc, uid: $(id -u), acts_as: ["$2"], may: [initiate, respond]}
EOT
    write_config "$host" 1
    # A laboratory's way to get one key into two tokens; deploy/manual/key-ceremony.md has the one that shows it to nobody.
    "$mikeyctl" --config "$host/mikeyd.yaml" key import --kind epsk --name core --hex-file "$dir/epsk" --insecure-plaintext
    "$mikeyctl" --config "$host/mikeyd.yaml" key generate --kind ticket --name "$1"
    # The other tokens are copies of the first, as those of a cluster are.
    for token in $(seq 2 "$tokens"); do cp -a "$host/token-1" "$host/token-$token"; done
    write_config "$host" "$tokens"
}

answers() { "$mikeyctl" --socket "$dir/$1/sock" status >/dev/null 2>&1; }
wait_for() { # what, command...
    local what=$1
    shift
    for _ in $(seq 600); do "$@" && return; sleep 0.1; done
    fail "$what"
}
