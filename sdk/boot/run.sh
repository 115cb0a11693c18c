# shellcheck shell=bash
# How a boot script and a change script of any engine begin and end: one at a time, and each end,
# good or bad, is told to Heat, since somebody waits. Sourced after common.sh.

METADATA_URL=${METADATA_URL:-http://169.254.169.254/openstack/latest/meta_data.json}

only_one() {
    [ "$(id -u)" -eq 0 ] || die "only root can set a node up"
    exec 9>/run/magnum-boot.lock
    flock 9
}
generation_made() { cat "$MAGNUM_STATE/generation" 2>/dev/null || echo 0; }
# One that failed is not tried again by itself: whoever wants it makes a new one.
generation_tried() { cat "$MAGNUM_STATE/tried" 2>/dev/null || generation_made; }

# A wait condition counts ids: each change has one, "g<number>".
report() { # exit status, first generation, last one
    local id
    trap - EXIT
    if [ "$1" -eq 0 ]; then
        for ((id = $2; id <= $3; id++)); do
            heat_signal SUCCESS "g$id" "$ROLE is ready" "$NODE_NAME" || exit 1
        done
        printf '%s\n' "$3" >"$MAGNUM_STATE/generation"
        printf '%s\n' "$3" >"$MAGNUM_STATE/tried"
        touch "$MAGNUM_STATE/booted"
        say "done"
    else
        say "$(failure_text)"
        [ ! -e "$MAGNUM_STATE/booted" ] || printf '%s\n' "$3" >"$MAGNUM_STATE/tried"
        # A node that never learned whom to tell can't.
        [ -z "${WAIT_URL:-}" ] || heat_signal FAILURE "g$2" "$(failure_text)" "$STEP" || true
    fi
    exit "$1"
}

# Ends the script when an earlier boot has done all of it.
begin_boot() {
    only_one
    read_parameters
    [ ! -e "$MAGNUM_STATE/booted" ] || exit 0
    trap 'report $? 1 "${WAIT_COUNT:-1}"' EXIT
    : >"$MAGNUM_RUN/step.log"
}

# Ends the script when there is nothing to change; else CHANGE is the word that says what, and
# METADATA the server's whole metadata.
begin_change() {
    local wanted
    only_one
    read_parameters
    [ -e "$MAGNUM_STATE/booted" ] || exit 0
    # No metadata just now: the timer asks again.
    METADATA=$(curl --silent --fail --noproxy '*' --max-time 20 "$METADATA_URL") || exit 0
    wanted=$(json_get meta.magnum_generation <<<"$METADATA")
    [[ $wanted =~ ^[0-9]{1,9}$ ]] || exit 0
    [ "$wanted" -gt "$(generation_tried)" ] || exit 0
    # shellcheck disable=SC2034 # read by the engine's script
    CHANGE=$(json_get meta.magnum_change <<<"$METADATA")
    trap 'report $? '"$(($(generation_made) + 1)) $wanted" EXIT
    : >"$MAGNUM_RUN/step.log"
}
