# shellcheck shell=bash
# What the boot scripts of every COE share: parameters, a step at a time, patience with a network
# that is just coming up, JSON, HTTP to OpenStack, and the signal to Heat. Sourced, never run.
# Neighbours: certificates.sh, each COE's boot.sh.

MAGNUM_ETC=/etc/magnum
MAGNUM_STATE=/var/lib/magnum
MAGNUM_RUN=/run/magnum
MAGNUM_PATIENCE=${MAGNUM_PATIENCE:-1800} # seconds that a step waits for what must come from outside
MAGNUM_PAUSE=${MAGNUM_PAUSE:-3}          # seconds between two tries
export STEP=start

say() { printf '%s magnum: %s\n' "$(date -u +%FT%TZ)" "$*"; }
die() {
    say "$*" >&2
    exit 1
}

# Parameters of the driver, then values of Heat. Both are NAME='text' lines, only root's to read.
read_parameters() {
    local file
    for file in params.sh heat.sh; do
        [ -r "$MAGNUM_ETC/$file" ] || die "$MAGNUM_ETC/$file is missing: the node's user data did not arrive whole"
        chmod 0600 "$MAGNUM_ETC/$file"
        # shellcheck source=/dev/null
        . "$MAGNUM_ETC/$file"
    done
    mkdir -p "$MAGNUM_STATE" "$MAGNUM_RUN"
    chmod 0700 "$MAGNUM_STATE" "$MAGNUM_RUN"
}
# Fails when one of the named parameters is empty.
need() {
    local name
    for name in "$@"; do
        [ -n "${!name:-}" ] || die "parameter $name is missing"
    done
}
is_true() { [[ ${1:-} =~ ^([Tt]rue|[Yy]es|[Oo]n|1|TRUE)$ ]]; }

# Runs a function as a named step. Its output goes to the log; when it fails, the whole script fails
# at this step and the log's end tells why. In a subshell outside of any condition, where "set -e"
# stops at the first failure: what a step shall leave behind are files, not variables.
run_step() { # name, function, argument...
    local rc
    STEP=$1
    shift
    say "step $STEP"
    : >"$MAGNUM_RUN/step.log"
    set +e
    (
        set -e
        "$@"
    ) >"$MAGNUM_RUN/step.log" 2>&1 </dev/null
    rc=$?
    set -e
    sed "s/^/  $STEP: /" "$MAGNUM_RUN/step.log"
    [ "$rc" -eq 0 ] || die "step $STEP failed (exit status $rc)"
}
# The step that failed and the last of what it said, in at most 1,000 characters.
failure_text() {
    local said
    said=$(tail -n 12 "$MAGNUM_RUN/step.log" 2>/dev/null | tr -d '\r' | tail -c 900) || true
    printf 'Step %s failed: %s' "$STEP" "${said:-it said nothing}"
}

# Tries until it works or the patience is over; the last try's complaint is what is seen.
retry() { # command...
    local start=$SECONDS said
    until said=$("$@" 2>&1); do
        if [ $((SECONDS - start)) -ge "$MAGNUM_PATIENCE" ]; then
            printf '%s\n' "$said" "gave up after $((SECONDS - start)) s: $1" >&2
            return 1
        fi
        sleep "$MAGNUM_PAUSE"
    done
    [ -z "$said" ] || printf '%s\n' "$said"
}

# Writes standard input to a file if that changes it; the file is whole at every moment. Status 0
# always; prints "changed" when it was.
put_file() { # path, mode
    local new
    mkdir -p "$(dirname "$1")"
    new=$(mktemp "$(dirname "$1")/.magnum.XXXXXX")
    cat >"$new"
    chmod "${2:-0644}" "$new"
    if [ -f "$1" ] && cmp -s "$new" "$1"; then
        chmod "${2:-0644}" "$1"
        rm -f "$new"
        return 0
    fi
    mv -f "$new" "$1"
    echo "changed $1"
}

# A text as a JSON string.
json_string() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}
# A member of the JSON object on standard input, as text; "a.b" for one within another; "" when absent.
json_get() { # path
    if command -v jq >/dev/null; then
        jq -r --arg path "$1" 'getpath($path | split(".")) // ""'
    else
        python3 -c '
import json, sys
v = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    v = v.get(name) if isinstance(v, dict) else None
print("" if v is None else v if isinstance(v, str) else json.dumps(v))' "$1"
    fi
}

# ---- OpenStack ----

# The CA of OpenStack's own endpoints, and whether certificates are looked at.
openstack_trust() {
    [ -z "${OPENSTACK_CA:-}" ] || printf '%s\n' "$OPENSTACK_CA" | put_file "$MAGNUM_ETC/openstack-ca.pem" 0644
}
openstack_curl() { # curl's arguments
    local trust=()
    [ ! -s "$MAGNUM_ETC/openstack-ca.pem" ] || trust=(--cacert "$MAGNUM_ETC/openstack-ca.pem")
    [ "${VERIFY_CA:-true}" != false ] && [ "${VERIFY_CA:-true}" != False ] || trust=(--insecure)
    curl --silent --show-error --fail-with-body --location --connect-timeout 15 --max-time 120 \
        "${trust[@]}" "$@"
}
keystone_v3() {
    local url=${1%/}
    case $url in */v3) ;; *) url=${url%/v2.0}/v3 ;; esac
    printf '%s' "$url"
}
# Leaves a token in a file, as the header "X-Auth-Token: ...", so that no command line shows it.
keystone_token() { # keystone's URL, user id, password, project id or "", file
    local scope="" headers
    [ -z "$4" ] || scope=",\"scope\":{\"project\":{\"id\":$(json_string "$4")}}"
    headers=$(printf '{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":%s,"password":%s}}}%s}}' \
        "$(json_string "$2")" "$(json_string "$3")" "$scope" |
        openstack_curl --header 'Content-Type: application/json' --data @- --output /dev/null \
            --dump-header - "$(keystone_v3 "$1")/auth/tokens") || {
        echo "Keystone at $1 gives user $2 no token: ${headers%%$'\r'*}" >&2
        return 1
    }
    (umask 077 && tr -d '\r' <<<"$headers" |
        sed -n 's/^[Xx]-[Ss]ubject-[Tt]oken: */X-Auth-Token: /p' >"$5")
    [ -s "$5" ] || {
        echo "Keystone at $1 answered without a token" >&2
        return 1
    }
}

# ---- the signal to Heat's wait condition ----

post_signal() { # body
    keystone_token "$WAIT_AUTH_URL" "$WAIT_USER_ID" "$WAIT_PASSWORD" "$WAIT_PROJECT_ID" "$MAGNUM_RUN/heat-token" &&
        openstack_curl --header @"$MAGNUM_RUN/heat-token" --header 'Content-Type: application/json' \
            --output /dev/null --data "$1" "$WAIT_URL"
}
# A wait condition takes one signal of each id; one more with the same id replaces it.
heat_signal() { # SUCCESS|FAILURE, id, reason, data
    local rc=0
    need WAIT_AUTH_URL WAIT_USER_ID WAIT_PASSWORD WAIT_PROJECT_ID WAIT_URL
    retry post_signal "$(printf '{"status":%s,"id":%s,"reason":%s,"data":%s}' "$(json_string "$1")" \
        "$(json_string "$2")" "$(json_string "${3:0:1000}")" "$(json_string "$4")")" || rc=$?
    rm -f "$MAGNUM_RUN/heat-token"
    return "$rc"
}
