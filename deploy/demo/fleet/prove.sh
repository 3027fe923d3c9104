# What the fleet is put through, and the table of what it cost. Read by deploy/fleet after hosts.sh.

# ---- the load, and its commands --------------------------------------------------------------------------------------------

start_load() {
    coproc LOAD {
        exec ip netns exec "$(namespace 3)" "$dir/bin/fleet-load" --site-1 "$(outer 1):$gate_port" --site-2 "$(outer 2):$gate_port" \
            --proofs "$(proofs)" 2>>"$dir/log/load.log"
    }
    load_pid=$LOAD_PID
    exec {to_load}>&"${LOAD[1]}" {from_load}<&"${LOAD[0]}"
    exec {LOAD[1]}>&- {LOAD[0]}<&- # bash's own: the load ends with its input
}
say() { # command: prints the load's answer
    local line
    echo "$1" >&"$to_load" 2>/dev/null || fail "the load ended: see $dir/log/load.log"
    IFS= read -r -t 120 line <&"$from_load" || fail "the load does not answer \"$1\": see $dir/log/load.log"
    echo "$line"
}
stop_load() {
    exec {to_load}>&- || true
    wait "$load_pid" 2>/dev/null || true
}
field() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" <<<"$line"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
seconds_of() { printf '%d.%02d s' $(($1 / 1000)) $(($1 % 1000 / 10)); }

# ---- the table -------------------------------------------------------------------------------------------------------------

held=yes
row() { printf '%-30s | %6s | %4s | %6s | %17s | %15s | %12s | %10s | %s\n' "$@"; }
not_held() { # why
    held=no
    verdict="NO: $1"
}
# One scenario: what happens, then calls for a while, then everything is whole again, then its row.
scenario() { # name, what is expected, function
    local line verdict=yes silence
    sentinel_ms=0
    say window >/dev/null # what happened before is nobody's
    "$3"
    sleep "$seconds"
    wait_for "after \"$1\" the fleet is not whole again" fleet_is_whole
    sleep 1
    line=$(say window)
    silence=$(($(field silence_ms) - sentinel_ms))
    [ $silence -ge 0 ] || silence=0
    [ "$(field calls)" -gt 0 ] || not_held "no calls"
    [ "$(field lost)" -eq 0 ] || not_held "calls were lost"
    [ "$(field accepted)" -eq 0 ] || not_held "a replay was accepted"
    [ "$silence" -lt $((bound * 1000)) ] || not_held "more than $bound s without service"
    [ -z "$broken" ] || not_held "$broken"
    broken=
    row "$1" "$(field calls)" "$(field lost)" "$(field again)" "$(field accepted) of $(($(field refused) + $(field accepted)))" \
        "$(seconds_of $silence)" "$(seconds_of "$(field slowest_ms)")" "$([ $sentinel_ms -eq 0 ] && echo - || seconds_of $sentinel_ms)" "$verdict"
    expected+=("$1: $2")
}
broken=            # what a scenario's own look found wrong
expected=()

# ---- the scenarios ---------------------------------------------------------------------------------------------------------

nothing() { :; }
kill_host_process() { kill -KILL -- "-$(pid_of "$1")"; } # with its children
kill_daemon() {
    kill_host_process mikeyd-1
    sleep "$seconds"
    start_daemon 1
}
kill_gate() {
    kill_host_process gate-2
    sleep "$seconds"
    start_gate 2
}
kill_keyholder() { # the monitor starts the next one
    local keyholder
    keyholder=$(pgrep -P "$(pid_of mikeyd-1)" -f mikeyd-keyholder | head -1) || { broken="no keyholder found"; return; }
    kill -KILL "$keyholder"
}

# Until most of all Sentinels name another one, and it says so itself.
wait_for_promotion() { # primary, since when, Sentinels to ask
    local primary=$1 begun=$2 next=$1
    shift 2
    for _ in $(seq 600); do
        next=$(all_agree "$@" || true)
        [ -z "$next" ] || [ "$next" = "$primary" ] || break
        sleep 0.02
    done
    [ -n "$next" ] && [ "$next" != "$primary" ] || fail "no Sentinel promoted another Redis: see $dir/log/sentinel-*.log"
    wait_for "no second Sentinel names the new primary" eval '[ -n "$(named_at "$begun")" ]'
    sentinel_ms=$(($(named_at "$begun") - begun))
}
named_at() { # since when: when the second Sentinel named the new primary, by their logs
    local line at
    grep -h '+switch-master' "$dir"/log/sentinel-*.log | while IFS= read -r line; do
        at=$(($(date -d "$(cut -d' ' -f2-5 <<<"$line")" +%s%N) / 1000000))
        [ "$at" -lt "$1" ] || echo "$at"
    done | sort -n | sed -n 2p
}
kill_primary() {
    local primary begun
    primary=$(all_agree)
    begun=$(now_ms)
    kill_host_process "redis-$primary"
    wait_for_promotion "$primary" "$begun" 1 2 3
    sleep "$seconds"
    start_redis "$primary" # Sentinel makes it a replica
}
# The site with the primary is cut from the other and from the third host; clients reach both.
partition() {
    local primary begun cut other
    primary=$(all_agree)
    cut=$primary
    [ "$cut" -ne 3 ] || cut=1
    other=$((3 - cut))
    begun=$(now_ms)
    cut_site "$cut"
    [ "$cut" -ne "$primary" ] || wait_for_promotion "$primary" "$begun" "$other" 3
    sleep "$seconds"
    [ "$(say "ask $cut")" = STORE_DOWN ] || broken="the side without a majority did not answer STORE_DOWN"
    [ "$(say "ask $other")" = OK ] || broken="the side with the majority did not serve"
    heal_site "$cut"
}
# As systemctl stop and start do: SIGTERM, answers in flight go out, the new program begins.
restart_site() { # site
    local name
    for name in "gate-$1" "mikeyd-$1"; do
        kill -TERM "$(pid_of "$name")"
        wait_for "$name does not end" ended "$name"
    done
    start_daemon "$1"
    wait_for "the daemon of site $1 does not serve" daemon_serves "$1"
    start_gate "$1"
    wait_for "the gate of site $1 does not serve" gate_serves "$1"
}
ended() { ! runs "$1"; }
rolling_upgrade() { for site in 1 2; do restart_site $site; done; }

reload_site() { # site: until the new policy is in force
    local before
    before=$(in_force "$1")
    kill -HUP "$(pid_of "mikeyd-$1")"
    wait_for "site $1 does not take the policy" eval "[ \"\$(in_force $1)\" -gt $before ]"
}
in_force() { grep -c 'policy .* in force' "$dir/log/mikeyd-$1.log" || true; }
generation() { sed -n 's/.*name: core, kind: epsk, generation: \([0-9]*\).*/\1/p' "$dir/site-1/policy.yaml"; }
roll_policy() { # a further node: a change that no call of ours meets
    local site
    for site in 1 2; do
        write_policy $site "$(generation)"
        sed -i "s/^nodes: .*/nodes: [\"$caller\", \"$called\", \"sip:sbc-$RANDOM@carrier.example\"]/" "$dir/site-$site/policy.yaml"
        reload_site $site
        sleep 1
    done
}
# deploy/manual/key-rotation.md: first the keys in all tokens, then the policy at all sites.
rotate_key() {
    local next site
    next=$(($(generation) + 1))
    write_policy 1 $next
    {
        key generate --kind epsk --name core --generation $next
        key derive --name core
    } >>"$dir/log/ceremony.log" 2>&1 || broken="the ceremony failed: see $dir/log/ceremony.log"
    copy_tokens
    write_policy 2 $next
    for site in 1 2; do reload_site $site; done
}

# ---- all of it -------------------------------------------------------------------------------------------------------------

race() {
    local line verdict=yes
    line=$(say "race 50")
    { [ "$(field failed)" -eq 0 ] && [ "$(field answered)" -eq 50 ]; } || not_held "$line"
    echo "The same I_MESSAGE to both sites at the same moment, $(field raced) times: answered $(field answered) times. Held: $verdict"
    verdict=yes
    [ "$(field confirmed)" -eq 50 ] || not_held "$line"
    echo "A ticket of site 1, to both sites at the same moment, $(field raced) times: confirmed $(field confirmed) times. Held: $verdict"
}
verify_logs() {
    local site verdict
    for site in 1 2; do
        verdict=yes
        "$dir/bin/mikeyctl" audit verify "$dir/site-$site/state/audit.jsonl" --public-key "$dir/audit-key.pem" >"$dir/log/verify-$site.log" 2>&1 ||
            not_held "see $dir/log/verify-$site.log"
        echo "Audit log of site $site: $(head -1 "$dir/log/verify-$site.log"), $(sed -n 's/^records  *//p' "$dir/log/verify-$site.log"). Held: $verdict"
    done
}
prove() {
    wait_for "the fleet is not whole" fleet_is_whole
    start_load
    trap stop_load EXIT
    sleep 1
    row scenario calls lost "again" "replays accepted" "without service" "slowest call" "Sentinel" "held"
    scenario "nothing happens" "all is served" nothing
    scenario "a daemon is killed" "the other site serves" kill_daemon
    scenario "a gate is killed" "the other site serves" kill_gate
    scenario "a keyholder is killed" "the site's other token serves" kill_keyholder
    scenario "rolling upgrade" "one site serves while the other one restarts" rolling_upgrade
    scenario "policy roll-out" "no call notices" roll_policy
    scenario "key rotation" "calls from a site with the new policy to one with the old are refused (AUTH_FAILED) and offered again" rotate_key
    scenario "partition of the sites" "the cut-off site answers STORE_DOWN; the other one has Sentinel's majority and serves" partition
    scenario "the Redis primary is killed" "Sentinel promotes a replica; nothing is lost" kill_primary
    race
    stop_load
    trap - EXIT
    verify_logs
    printf '\nExpected\n'
    printf -- '- %s\n' "${expected[@]}"
    printf -- '- again: offers made anew, because the answer to the first was lost with the process that gave it\n'
    printf -- '- without service: the longest time in which no call of one direction was completed, less the time of Sentinel\n'
    printf -- '- Sentinel: from the fault until most Sentinels name a new primary (down-after-milliseconds is 2000)\n'
    [ "$held" = yes ] || fail "not all goals held"
    echo "All goals held."
}
