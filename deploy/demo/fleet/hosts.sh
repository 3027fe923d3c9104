# The fleet's hosts: namespaces, tokens, files, processes. Read by deploy/fleet, which has set dir, source and the programs.
# Hosts 1 and 2 are the sites. Host 3 has the third Redis, the third Sentinel, the clients, and the wires between all:
#   inner   192.0.2.N      Redis and Sentinel, from host to host; what "cut" takes away
#   outer   198.51.100.N   clients to gates

caller=sip:sbc-a@carrier.example called=sip:sbc-b@carrier.example
redis_port=6379 sentinel_port=26379 gate_port=7443
service=mikeyd
inner() { echo "192.0.2.$1"; }
outer() { echo "198.51.100.$1"; }
namespace() { echo "$fleet-$1"; }
on() { # host, command... in the place of this process
    local host=$1
    shift
    ip netns exec "$(namespace "$host")" "$@"
}
as() { # user, command...
    local user=$1
    shift
    setpriv --reuid "$user" --regid "$user" --init-groups "$@"
}

# ---- namespaces ------------------------------------------------------------------------------------------------------------

make_namespaces() {
    local host net
    for host in 1 2 3; do
        ip netns add "$(namespace $host)"
        ip -n "$(namespace $host)" link set lo up
    done
    for net in inner outer; do
        ip -n "$(namespace 3)" link add name $net type bridge
        ip -n "$(namespace 3)" addr add "$($net 3)/24" dev $net
        ip -n "$(namespace 3)" link set $net up
        for host in 1 2; do
            ip link add name $net netns "$(namespace $host)" type veth peer name $net$host netns "$(namespace 3)"
            ip -n "$(namespace $host)" addr add "$($net $host)/24" dev $net
            ip -n "$(namespace $host)" link set $net up
            ip -n "$(namespace 3)" link set dev $net$host master $net up
        done
    done
}
# Packets of the site's inner wire go nowhere; the ends do not see it.
cut_site() { ip -n "$(namespace 3)" link set dev "inner$1" nomaster; }
heal_site() { ip -n "$(namespace 3)" link set dev "inner$1" master inner; }

remove_namespaces() { # with all that runs in them
    local host pids
    for host in 1 2 3; do
        [ -e "/run/netns/$(namespace $host)" ] || continue
        for signal in TERM KILL; do
            for _ in $(seq 100); do
                pids=$(ip netns pids "$(namespace $host)")
                [ -n "$pids" ] || break
                # shellcheck disable=SC2086
                kill -$signal $pids 2>/dev/null || true
                sleep 0.1
            done
        done
        ip netns del "$(namespace $host)"
    done
}

# ---- files -----------------------------------------------------------------------------------------------------------------

random_text() { openssl rand -hex 12; }

make_users() {
    local user
    for user in mikeyd mikeyd-keyholder mikeyd-gate; do
        id "$user" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
    done
    chmod 0711 "$dir"
    as mikeyd test -x "$dir" || fail "user mikeyd cannot reach $dir: choose a --dir outside private folders"
    install -D -m 0755 -t "$dir/bin" "$mikeyd" "$keyholder" "$gate" "$mikeyctl"
    chmod 0755 "$dir/bin"
}

make_certificates() {
    local pki=$dir/pki host
    mkdir "$pki"
    certificate() { # name, names, days
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
        openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.pem" -CAkey "$pki/ca.key" -CAcreateserial -days 30 -out "$pki/$1.crt" -extfile <(
            printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=%s\n' "$2"
        ) 2>/dev/null
        rm "$pki/$1.csr"
    }
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=fleet-ca -keyout "$pki/ca.key" -out "$pki/ca.pem" \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
    for host in 1 2; do certificate "gate-$host" "DNS:gate-$host.fleet.example,IP:$(outer $host)"; done
    certificate client "DNS:sbc.fleet.example"
}
proofs() { echo "ca=$dir/pki/ca.pem&cert=$dir/pki/client.crt&key=$dir/pki/client.key"; }

token_folders() { echo "$dir"/site-1/token-{0,1} "$dir"/site-2/token-{0,1}; }
softhsm_conf() { # token folder
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nlibrary.reset_on_fork = true\n' "$1" >"$1/softhsm2.conf"
}
make_first_token() {
    local first=$dir/site-1/token-0 pin=$dir/secrets/pin so=$dir/secrets/so-pin
    module=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -1 || true)
    [ -n "$module" ] || fail "libsofthsm2.so not found"
    mkdir -p "$first"
    softhsm_conf "$first"
    random_text >"$pin"
    random_text >"$so"
    # The tool asks for PINs on a terminal; answering there keeps them out of its argument list.
    for file in "$so" "$so" "$pin" "$pin"; do sleep 0.4; cat "$file"; done |
        SOFTHSM2_CONF=$first/softhsm2.conf script -qec "softhsm2-util --init-token --free --label mikeyd-fleet" /dev/null >"$dir/token.log" 2>&1 || true
    SOFTHSM2_CONF=$first/softhsm2.conf softhsm2-util --show-slots | grep -q 'Label: *mikeyd-fleet ' ||
        { cat "$dir/token.log" >&2; fail "the token was not initialised"; }
    rm -f "$dir/token.log"
}
# The other three get what the first one has, as the members of an HSM cluster do: new objects, and then the number by which
# SoftHSM sees that there are some. What they have stays as it is: they are being read.
copy_tokens() {
    local first=$dir/site-1/token-0 to file
    for to in $(token_folders); do
        mkdir -p "$to"
        if [ "$to" != "$first" ]; then
            cp -an "$first/." "$to/"
            for file in "$first"/*/generation; do
                cp -a "$file" "$dir/generation"
                mv "$dir/generation" "$to/${file#"$first"/}"
            done
            softhsm_conf "$to"
        fi
        chown -R mikeyd-keyholder: "$to"
    done
}

write_policy() { # site, generation of the key, a further line
    cat >"$dir/site-$1/policy.new" <<EOT
# A fleet in a laboratory. What a production policy looks like: policy/strict.yaml and policy/carrier.yaml.
policy: 1
defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, verification: required, clock_skew: 60s, provisioning: plaintext-allowed}
keys:
  - {name: core, kind: epsk, generation: $2$([ "$2" -eq 1 ] || echo ", previous: {generation: $(($2 - 1)), until: $(date -u -d '+7 days' +%F)}")}
nodes: ["$caller", "$called"]
pairs:
  - {initiator: "$caller", responder: "$called", key: core}
  - {initiator: "$called", responder: "$caller", key: core}
clients:
  - {name: sbc, tls_san: sbc.fleet.example, acts_as: ["$caller", "$called"], may: [initiate, respond]}
${3:-}
EOT
    chmod 0644 "$dir/site-$1/policy.new"
    mv "$dir/site-$1/policy.new" "$dir/site-$1/policy.yaml"
}
write_config() { # site, file, PIN file
    local site=$dir/site-$1 token
    {
        echo "tokens:"
        for token in 0 1; do
            cat <<EOT
  - module: $module
    uri: "pkcs11:token=mikeyd-fleet"
    pin_file: $3
    sessions: 2
    environment: {SOFTHSM2_CONF: $site/token-$token/softhsm2.conf}
EOT
            [ "$2" != ceremony.yaml ] || break # keys are made in one, the cluster copies them
        done
        cat <<EOT
policy: $site/policy.yaml
listen:
  - {unix: $site/run/mikeyd.sock, mode: "0666"} # its folder is open to the gate alone
replay:
  redis:
    servers: ["$(inner 1):$redis_port", "$(inner 2):$redis_port", "$(inner 3):$redis_port"]
    sentinel: {service: $service, servers: ["$(inner 1):$sentinel_port", "$(inner 2):$sentinel_port", "$(inner 3):$sentinel_port"]}
    replicas: 1 # of two: the third server may be lost, or may take over
    user: mikeyd
    password_file: $site/redis-password
audit:
  file: $site/state/audit.jsonl
  sign: {key: fleet, seconds: 10}
gate:
  user: mikeyd-gate
  listen: "$(outer "$1"):$gate_port"
  certificate: $site/gate/gate.crt
  key: $site/gate/gate.key
  ca: $site/gate/ca.pem
sandbox:
  writable: [$site/token-0, $site/token-1]
users: {front: mikeyd, keyholder: mikeyd-keyholder}
EOT
    } >"$site/$2"
    chmod 0644 "$site/$2"
}
key() { "$dir/bin/mikeyctl" --config "$dir/site-1/ceremony.yaml" key "$@"; }

make_site() { # site
    local site=$dir/site-$1
    mkdir -p "$site/state" "$site/run" "$site/gate"
    install -m 0400 -o mikeyd-keyholder "$dir/secrets/pin" "$site/pin"
    install -m 0400 -o mikeyd "$dir/secrets/redis-mikeyd" "$site/redis-password"
    install -m 0444 "$dir/pki/ca.pem" "$site/gate/ca.pem"
    install -m 0444 "$dir/pki/gate-$1.crt" "$site/gate/gate.crt"
    install -m 0400 -o mikeyd-gate "$dir/pki/gate-$1.key" "$site/gate/gate.key"
    chown mikeyd: "$site/state"
    chown mikeyd:mikeyd-gate "$site/run"
    chmod 0710 "$site/run"
    chmod 0711 "$site" "$site/gate"
    chmod 0700 "$site/state"
    write_config "$1" mikeyd.yaml "$site/pin"
    write_config "$1" ceremony.yaml "$dir/secrets/pin"
    write_policy "$1" 1
}

make_redis() { # host
    local host=$dir/host-$1 password
    password=$(cat "$dir/secrets/redis")
    mkdir -p "$host/redis" "$host/sentinel"
    cat >"$host/redis/redis.conf" <<EOT
bind $(inner "$1") 127.0.0.1
port $redis_port
dir $host/redis
requirepass $password
masterauth $password
user mikeyd on >$(cat "$dir/secrets/redis-mikeyd") ~mikeyd:* +@all -@dangerous +info
appendonly yes
save ""
maxmemory-policy noeviction
min-replicas-to-write 1
min-replicas-max-lag 2
repl-diskless-sync-delay 0
replica-announce-ip $(inner "$1")
$([ "$1" -eq 1 ] || echo "replicaof $(inner 1) $redis_port")
EOT
    cat >"$host/sentinel/sentinel.conf" <<EOT
bind $(inner "$1") 127.0.0.1
port $sentinel_port
dir $host/sentinel
protected-mode no
sentinel monitor $service $(inner 1) $redis_port 2
sentinel auth-pass $service $password
sentinel down-after-milliseconds $service 2000
sentinel failover-timeout $service 6000
sentinel parallel-syncs $service 2
EOT
    chown -R redis:redis "$host"
    chmod 0711 "$host"
}

# ---- processes -------------------------------------------------------------------------------------------------------------

start() { # host, name, command...
    local host=$1 name=$2
    shift 2
    setsid ip netns exec "$(namespace "$host")" "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/pid/$name"
    disown $!
}
pid_of() { cat "$dir/pid/$1"; }
runs() { kill -0 "$(pid_of "$1")" 2>/dev/null; }
start_redis() { start "$1" "redis-$1" setpriv --reuid redis --regid redis --clear-groups redis-server "$dir/host-$1/redis/redis.conf"; }
start_sentinel() { start "$1" "sentinel-$1" setpriv --reuid redis --regid redis --clear-groups redis-sentinel "$dir/host-$1/sentinel/sentinel.conf"; }
start_daemon() { start "$1" "mikeyd-$1" "$dir/bin/mikeyd" --config "$dir/site-$1/mikeyd.yaml"; }
start_gate() {
    start "$1" "gate-$1" setpriv --reuid mikeyd-gate --regid mikeyd-gate --clear-groups "$dir/bin/mikeyd-gate" --config "$dir/site-$1/mikeyd.yaml"
}

status() { "$dir/bin/mikeyctl" --socket "$dir/site-$1/run/mikeyd.sock" --json status 2>/dev/null; }
daemon_serves() { status "$1" >/dev/null; }
gate_serves() { # a client's handshake, and the daemon's answer through it
    on 3 "$dir/bin/mikeyctl" --connect "tls://$(outer "$1"):$gate_port?$(proofs)" --json status >/dev/null 2>&1
}
redis_cli() { # host, arguments...
    local host=$1
    shift
    REDISCLI_AUTH=$(cat "$dir/secrets/redis") on 3 timeout 2 redis-cli -h "$(inner "$host")" -p $redis_port "$@" 2>/dev/null
}
sentinel_cli() { # host, arguments...
    local host=$1
    shift
    on 3 timeout 2 redis-cli -h "$(inner "$host")" -p $sentinel_port "$@" 2>/dev/null
}
named_primary() { sentinel_cli "$1" sentinel get-master-addr-by-name $service | head -1 | sed 's/.*\.//'; } # asked of one Sentinel: a host
all_agree() { # hosts (all): two of three Sentinels name one that says so itself; prints it
    local host
    [ $# -ne 0 ] || set -- 1 2 3
    host=$({ for host in "$@"; do named_primary "$host" & done; wait; } | sort | uniq -c | sort -rn | awk '$1 >= 2 {print $2; exit}')
    [ -n "$host" ] && redis_cli "$host" info replication | grep -q '^role:master' && echo "$host"
}
redis_is_whole() { # the primary has both replicas, and all Sentinels know all
    local primary host
    primary=$(all_agree) || return 1
    [ "$(redis_cli "$primary" info replication | grep -c 'state=online')" -eq 2 ] || return 1
    for host in 1 2 3; do
        [ "$(named_primary $host)" = "$primary" ] || return 1
        sentinel_cli $host info sentinel | grep -q "status=ok,address=$(inner "$primary"):$redis_port,slaves=2,sentinels=3" || return 1
    done
}
fleet_is_whole() { redis_is_whole && daemon_serves 1 && daemon_serves 2 && gate_serves 1 && gate_serves 2; }
wait_for() { # what, command...: a fact, within a minute
    local what=$1
    shift
    for _ in $(seq 600); do "$@" && return; sleep 0.1; done
    fail "$what; the logs are in $dir/log"
}
